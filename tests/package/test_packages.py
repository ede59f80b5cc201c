"""Packages, in a clean root of Debian: what they make, what they leave alone, what remains when they go."""

import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

from demit_harness import enter_namespaces, main  # noqa: E402: found by the path above

PRIVATE = enter_namespaces("--mount")

TOP = os.environ["DEMIT_SOURCE_DIR"]
WORK = os.path.join(os.environ["DEMIT_BUILD_DIR"], "tests", "package", "work")
ROOTS = os.path.join(TOP, "build", "roots")
CLEAN, ROOT = "package-clean", "package"
INSIDE = os.path.join(ROOTS, ROOT)


def must(*command, **options):
    """Runs COMMAND, which must succeed, and returns what it printed."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {result.returncode}\n{result.stdout[-6000:]}")
    return result.stdout


def needs(*names):
    missing = [name for name in names if shutil.which(name) is None]
    return unittest.skipIf(missing, f"not installed: {' '.join(missing)}")


def ci(function, *arguments):
    """Calls a function of ci/lib.sh."""
    return must("bash", "-c", '. "$0/ci/lib.sh"; "$@"', TOP, function, *arguments)


def build():
    """Builds and packs once, whoever asks first."""
    if getattr(build, "done", False):
        return
    shutil.rmtree(WORK, ignore_errors=True)
    must("cmake", "-G", "Ninja", "-S", TOP, "-B", WORK, "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_INSTALL_PREFIX=/usr", "-DDEMIT_BUILD_TESTS=OFF")
    must("cmake", "--build", WORK)
    build.done = True


def pack(generator, *options):
    build()
    return re.search(r"package: (\S+) generated", must("cpack", "-G", generator, *options, cwd=WORK)).group(1)


@unittest.skipUnless(PRIVATE, "needs root and a mount namespace")
@needs("mmdebstrap", "dpkg-deb", "dpkg-shlibdeps")
class Debian(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.package = pack("DEB")
        cls.newer = pack("DEB", "-D", "CPACK_PACKAGE_VERSION=99.1")
        depends = must("dpkg-deb", "-f", cls.package, "Depends")
        names = [re.match(r"[^ (|]+", word.strip()).group(0) for word in depends.split(",")]
        # mount: root_run leaves the old root with it; iproute2: a network of the test's own.
        ci("root_make", CLEAN, must("dpkg", "--print-architecture").strip(), "essential", *names, "iproute2", "mount")

    def setUp(self):
        """The clean root with a layer of the test's own above; the mount is private and ends with this process."""
        layer = os.path.join(WORK, "layer")
        shutil.rmtree(layer, ignore_errors=True)
        for path in (os.path.join(layer, "upper"), os.path.join(layer, "work"), INSIDE):
            os.makedirs(path, exist_ok=True)
        layers = f"lowerdir={ROOTS}/{CLEAN},upperdir={layer}/upper,workdir={layer}/work"
        must("mount", "-t", "overlay", "overlay", "-o", layers, INSIDE)
        self.addCleanup(must, "umount", INSIDE)

    def inside(self, *command):
        return ci("root_run", ROOT, *command)

    def dpkg(self, *arguments):
        return self.inside("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-unsafe-io", *arguments)

    def install(self, package):
        shutil.copy(package, os.path.join(INSIDE, "root", "demit.deb"))
        return self.dpkg("--install", "/root/demit.deb")

    def about(self, path):
        """owner:group mode of a path inside, of the link itself if it is one."""
        return self.inside("stat", "-c", "%U:%G %a", path).strip()

    def ids(self, path):
        status = os.lstat(INSIDE + path)
        return status.st_uid, status.st_gid, status.st_mode & 0o7777

    def test_a_fresh_installation(self):
        self.install(self.package)
        self.assertRegex(self.inside("id", "ecuser"), r"uid=\d+\(ecuser\) gid=\d+\(ecuser\) groups=\d+\(ecuser\)\s*$")
        self.assertIn("/nonexistent:/usr/sbin/nologin", self.inside("getent", "passwd", "ecuser"))
        self.assertEqual(self.about("/var/spool/demit"), "ecuser:ecuser 750")
        self.assertEqual(self.about("/var/log/demit"), "ecuser:ecuser 750")
        self.assertEqual(self.about("/etc/demit/demit.conf"), "root:root 644")
        self.assertEqual(self.about("/usr/sbin/demitd"), "root:root 755")
        self.assertEqual(self.about("/usr/lib/systemd/system/demit.service"), "root:root 644")
        self.assertIn("Configuration valid", self.inside("demitd", "-t"))
        # Neither enabled nor started: this machine may have a mail server already.
        self.assertFalse(os.path.lexists(f"{INSIDE}/etc/systemd/system/multi-user.target.wants/demit.service"))
        self.assertFalse(os.path.exists(f"{INSIDE}/run/demit"))

    def test_it_serves_as_installed(self):
        self.install(self.package)
        script = """
            demitd 2>/root/said || { cat /root/said; exit 1; }
            pid=$(pidof demitd)
            grep -E '^(Uid|CapEff)' /proc/$pid/status
            demitctl summary >/dev/null && demitctl privileges >/dev/null && demitctl shutdown >/dev/null
            while kill -0 $pid 2>/dev/null; do sleep 0.1; done
            id -u ecuser
        """
        said = self.inside("unshare", "--net", "sh", "-c", f"ip link set lo up; {script}").split()
        self.assertEqual(said[:5], ["Uid:", *[said[-1]] * 4])
        self.assertEqual(said[5:7], ["CapEff:", "0000000000000400"])

    def test_an_account_and_directories_that_are_there_stay(self):
        self.inside("useradd", "--system", "--user-group", "--home-dir", "/srv/mail", "--shell", "/bin/sh", "ecuser")
        before = self.inside("getent", "passwd", "ecuser")
        for path, owner, mode in (("/var/spool/demit", "daemon:mail", "0711"), ("/var/log/demit", "root:adm", "02750")):
            self.inside("install", "-d", "-m", "0755", path)
            self.inside("chown", owner, path)
            self.inside("chmod", mode, path)
        self.install(self.package)
        self.install(self.newer)
        self.assertEqual(self.inside("getent", "passwd", "ecuser"), before)
        self.assertEqual(self.about("/var/spool/demit"), "daemon:mail 711")
        self.assertEqual(self.about("/var/log/demit"), "root:adm 2750")

    def test_an_upgrade_follows_no_link(self):
        """What whoever runs as ecuser may plant: links inside his directories, or one in the place of a directory."""
        self.install(self.package)
        self.inside("sh", "-c", """
            set -e
            mkdir -m 0700 /etc/secret && echo s >/etc/secret/key && chmod 600 /etc/secret/key
            ln -s /etc/shadow /var/spool/demit/00000001.seg
            ln -s /etc/secret /var/spool/demit/mail
            ln /etc/secret/key /var/log/demit/demit.log
            mkdir /srv/elsewhere && rmdir /var/log/demit 2>/dev/null || mv /var/log/demit /srv/old
            ln -s /etc/secret /var/log/demit
        """)
        watched = ("/etc/shadow", "/etc/secret", "/etc/secret/key", "/srv/elsewhere", "/var/spool/demit/00000001.seg", "/var/log/demit")
        before = {path: self.ids(path) for path in watched}
        self.install(self.newer)
        self.assertEqual({path: self.ids(path) for path in watched}, before)
        self.assertTrue(os.path.islink(f"{INSIDE}/var/log/demit"))
        self.dpkg("--purge", "demit")
        self.assertEqual({path: self.ids(path) for path in watched}, before)

    def test_a_link_that_leads_nowhere_stops_the_installation(self):
        self.inside("ln", "-s", "/srv/nowhere", "/var/spool/demit")
        with self.assertRaisesRegex(AssertionError, "/var/spool/demit is missing and cannot be made"):
            self.install(self.package)
        self.assertFalse(os.path.lexists(f"{INSIDE}/srv/nowhere"))

    def test_a_changed_configuration_survives_an_upgrade(self):
        self.install(self.package)
        with open(f"{INSIDE}/etc/demit/demit.conf", "a", encoding="utf-8") as file:
            file.write("# mine\n")
        self.install(self.newer)
        with open(f"{INSIDE}/etc/demit/demit.conf", encoding="utf-8") as file:
            self.assertTrue(file.read().endswith("# mine\n"))

    def test_removal_and_purge(self):
        self.install(self.package)
        mail = f"{INSIDE}/var/spool/demit/00000001.seg"
        with open(mail, "w", encoding="ascii") as file:
            file.write("mail\n")
        # As "systemctl enable" leaves it, and beside it what is not ours.
        wants = f"{INSIDE}/etc/systemd/system/multi-user.target.wants"
        os.makedirs(wants, exist_ok=True)
        for unit in ("demit.service", "other.service"):
            os.symlink(f"/usr/lib/systemd/system/{unit}", f"{wants}/{unit}")
        self.install(self.newer)
        self.assertTrue(os.path.islink(f"{wants}/demit.service"), "an upgrade disables nothing")
        self.dpkg("--remove", "demit")
        self.assertEqual(os.listdir(wants), ["other.service"])
        self.assertFalse(os.path.exists(f"{INSIDE}/usr/sbin/demitd"))
        self.assertTrue(os.path.exists(f"{INSIDE}/etc/demit/demit.conf"), "the configuration goes with a purge only")
        self.assertIn("/var/spool/demit is not empty, and is left alone", self.dpkg("--purge", "demit"))
        self.assertTrue(os.path.exists(mail), "mail that was accepted is not for a package to throw away")
        self.assertFalse(os.path.exists(f"{INSIDE}/var/log/demit"))
        self.assertFalse(os.path.exists(f"{INSIDE}/etc/demit"))
        self.inside("id", "ecuser")  # files may belong to it


@needs("rpmbuild", "rpm")
class Rpm(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.package = pack("RPM")

    def query(self, *options):
        return must("rpm", "--query", "--package", *options, self.package)

    def test_what_it_holds(self):
        files = self.query("--list").split()
        for wanted in ("/usr/sbin/demitd", "/usr/sbin/demitctl", "/etc/demit/demit.conf", "/usr/lib/systemd/system/demit.service"):
            self.assertIn(wanted, files)
        # rpm sets owner and mode of what a package holds at every upgrade; these are the operator's.
        for path in ("/var/spool/demit", "/var/log/demit", "/run/demit", "/etc", "/usr/sbin"):
            self.assertNotIn(path, files)
        self.assertEqual(self.query("--configfiles").split(), ["/etc/demit/demit.conf"])

    def test_its_scripts(self):
        scripts = self.query("--scripts")
        for part in ("preinstall", "postinstall", "preuninstall", "postuninstall"):
            self.assertIn(f"{part} scriptlet (using /bin/sh)", scripts)
        self.assertIsNone(re.search(r"chown (?!-h)|chown .*-R|chmod|userdel|rm -", scripts))
        body = re.sub(r"(?m)^\w+ scriptlet \(using /bin/sh\):$", "", scripts)
        must("sh", "-n", "-c", body)
        if shutil.which("shellcheck"):
            must("shellcheck", "--shell=sh", *[os.path.join(WORK, "packaging", "rpm", name) for name in ("pre", "post", "preun", "postun")])


class Scripts(unittest.TestCase):
    def test_removal_where_etc_cannot_be_written(self):
        """In a mount namespace of its own; neither script has anything that the build would fill in."""
        scene = """
            mount -t tmpfs none /etc/systemd
            mkdir -p /etc/systemd/system/one.wants
            ln -s /nowhere /etc/systemd/system/one.wants/demit.service
            mount -o remount,ro /etc/systemd
            mount -t tmpfs none /run
            exec sh -e "$@"
        """
        if os.geteuid() != 0 or not os.path.isdir("/etc/systemd"):
            self.skipTest("to mount takes root, and the links a place")
        for script, argument in (("debian/prerm.in", "remove"), ("rpm/preun.in", "0")):
            command = ["unshare", "--mount", "sh", "-ec", scene, "sh", os.path.join(TOP, "packaging", script), argument]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 0, script + result.stderr)
            self.assertIn("demit.service cannot be removed, and is left behind", result.stderr)


class Source(unittest.TestCase):
    def test_the_tarball_is_the_source(self):
        build()
        must("cpack", "--config", "CPackSourceConfig.cmake", cwd=WORK)
        tarball = next(name for name in os.listdir(WORK) if re.fullmatch(r"demit-[0-9.]+\.tar\.gz", name))
        names = must("tar", "-tzf", os.path.join(WORK, tarball)).split("\n")
        inside = {name.partition("/")[2] for name in names if name and not name.endswith("/")}
        tracked = subprocess.run(["git", "-C", TOP, "ls-files"], capture_output=True, text=True, check=False)
        self.assertIn("core/main.c", inside)
        self.assertFalse([name for name in inside if name.startswith(("build/", ".git/"))])
        if tracked.returncode == 0:
            kept = {name for name in tracked.stdout.split("\n") if name and not name.startswith(".git") and os.path.exists(f"{TOP}/{name}")}
            self.assertEqual(kept - inside, set())


if __name__ == "__main__":
    main()
