"""
The servers that are measured: how each is configured, started, and asked what it holds.

Each runs as its Debian package, or its shipped file, configures it; CHANGES names what must differ and why. While
acceptance is measured ("hold"), what was accepted stays in the server's own queue and nothing tries to deliver it; for
relaying ("relay") everything goes to smtp-sink at SINK. Every server listens on port 25, one at a time.
"""

import json
import os
import pwd
import re
import shutil
import subprocess

from plan import KINDS

PORT = 25
SINK = ("127.0.0.9", 2525)  # takes what is relayed
NOWHERE = ("127.0.0.9", 2526)  # takes no connection and refuses none
SENDER, RECIPIENT = "sender@source.test", "recipient@sink.test"


class Failed(Exception):
    """What was measured may not be believed, or could not be measured."""


def quiet(command, **options):
    """Runs COMMAND and returns what it printed; what went wrong is said."""
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
    )
    if result.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit code {result.returncode}\n{result.stdout}")
    return result.stdout


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def empty(path):
    """Truncates a file of a server's user, who may have put a link there."""
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK))


def files_below(directory, suffix=""):
    return sum(name.endswith(suffix) for _, _, names in os.walk(directory) for name in names)


class Server:
    """
    One of the servers. `directory` is where it keeps mail, new for each run; `log` a file of what it says on standard
    error, new for each run as well.
    """

    name = title = ""
    KINDS = KINDS
    # How many messages it is given, as a multiple of a row's: a run is to last some seconds, not minutes, and not less.
    PACE = {}
    idle_connections = 100
    CHANGES = ()  # (what, why)

    def __init__(self, top):
        self.top = top
        self.directory = self.log = None

    def version(self):
        raise NotImplementedError

    def prepare(self):
        """What is done once."""

    def fresh(self, directory, mode):
        """An empty spool in DIRECTORY, which exists and is empty; the configuration for MODE."""
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def ready(self, mode):
        """What is done once it answers."""

    def found(self):
        """How many messages its queue holds, by its files; the server was killed before. None: it keeps none."""
        raise NotImplementedError

    def waiting(self):
        """How many messages it has still to relay, while it runs."""
        raise NotImplementedError

    def chroot(self):
        """Its root directory, or None."""
        return None


# ---- demitd -----------------------------------------------------------------------------------------------------------


class Demitd(Server):
    name = title = "demitd"
    PACE = {"many": 3, "one": 2, "relaying": 2}
    idle_connections = 2000
    CHANGES = (
        ("Hostname", "the host may have no name that is fully qualified"),
        ("SpoolBase, the console's socket, the Maildirs' path", "a spool of its own on the disk that is measured"),
        ("Relay_Hosts = ( 127.0.0.0/8 )", "smtp-source may send to anywhere, as everywhere"),
        ("Gateway", "an address that takes no connection, for acceptance; smtp-sink, for relaying"),
    )

    def __init__(self, top):
        super().__init__(top)
        core = os.path.join(top, "build", "release", "core")
        self.program, self.control = os.path.join(core, "demitd"), os.path.join(core, "control", "demitctl")

    def version(self):
        return quiet([self.program, "-V"]).splitlines()[0]

    def prepare(self):
        """The built-in account, if the host has none: in this mount namespace only."""
        try:
            pwd.getpwnam("ecuser")
        except KeyError:
            for name, line in (("passwd", "ecuser:x:64321:64321::/nonexistent:/usr/sbin/nologin\n"), ("group", "ecuser:x:64321:\n")):
                copy = os.path.join(self.top, "build", "bench", name)
                write(copy, read(f"/etc/{name}") + line)
                quiet(["mount", "--bind", copy, f"/etc/{name}"])

    def fresh(self, directory, mode):
        self.directory = directory
        run = os.path.join(directory, "run")
        os.mkdir(run)
        account = pwd.getpwnam("ecuser")
        os.chown(run, account.pw_uid, account.pw_gid)
        write(os.path.join(directory, "demit.conf"), self.configuration(read(os.path.join(self.top, "conf", "demit.conf")), directory, mode))

    @staticmethod
    def configuration(shipped, directory, mode):
        """The shipped file with CHANGES."""
        text = shipped
        host, port = SINK if mode == "relay" else NOWHERE
        for pattern, replacement in (
            (r"(?m)^# Hostname = .*$", f'Hostname = "demitd.bench.test"\nSpoolBase = "{directory}/spool"\nGateway = "{host}:{port}"'),
            (r'"/run/demit/control\.sock"', f'"{directory}/run/control.sock"'),
            (r"(?m)^# Relay_Hosts = .*$", "Relay_Hosts = ( 127.0.0.0/8 )"),
            (r'"/var/spool/demit/mail/', f'"{directory}/spool/mail/'),
        ):
            text, count = re.subn(pattern, replacement, text)
            if count != 1:
                raise Failed(f"conf/demit.conf has {count} lines like {pattern}; the bench does not know this file any more")
        return text

    def command(self):
        return [self.program, "-c", os.path.join(self.directory, "demit.conf"), "-d"]

    def found(self):
        told = quiet([self.control, "spool", "check", os.path.join(self.directory, "spool")])
        return int(re.search(r"(\d+) messages waiting", told).group(1))

    def waiting(self):
        socket = os.path.join(self.directory, "run", "control.sock")
        return json.loads(quiet([self.control, "-s", socket, "--json", "summary"]))["queue"]["messages"]


# ---- the peers, each in its root ---------------------------------------------------------------------------------------


class Peer(Server):
    """A server of a Debian package, in a root of its own. SPOOL is the path inside that `directory` is mounted on."""

    package = spool = ""

    def __init__(self, top):
        super().__init__(top)
        self.root = os.path.join(top, "build", "roots", self.package)
        self.template = os.path.join(top, "build", "bench", f"template-{self.name}")

    def chroot(self):
        return self.root

    def inside(self, *command):
        return quiet(["chroot", self.root, *command])

    def version(self):
        return f"{self.package} {self.inside('dpkg-query', '-W', '-f', '${Version}', self.package).strip()}"

    def prepare(self):
        """Keeps the empty spool as the package made it, to begin each run with."""
        quiet(["mount", "-t", "proc", "proc", os.path.join(self.root, "proc")])
        write(os.path.join(self.root, "etc/hosts"), f"127.0.0.1 localhost\n127.0.0.1 {self.name}.bench.test\n")  # the installer's work
        shutil.rmtree(self.template, ignore_errors=True)
        quiet(["cp", "-a", self.root + self.spool, self.template])

    def fresh(self, directory, mode):
        if self.directory is not None:
            quiet(["umount", self.root + self.spool])
        quiet(["cp", "-a", "-T", self.template, directory])
        quiet(["mount", "--bind", directory, self.root + self.spool])
        self.directory = directory
        self.configure(mode)

    def configure(self, mode):
        raise NotImplementedError


class Postfix(Peer):
    name, title, package = "postfix", "Postfix", "postfix"
    spool = "/var/spool/postfix"
    idle_connections = 90  # default_process_limit is 100
    CHANGES = (
        ("myhostname, mydestination, relayhost", "names of the bench, and smtp-sink for relaying"),
        ("check_client_access static:HOLD", "for acceptance: mail goes to the hold queue, which is the least work that Postfix knows"),
    )

    def prepare(self):
        self.inside("postfix", "check")  # makes the directories of the queue
        super().prepare()
        main = os.path.join(self.root, "etc/postfix/main.cf")
        if not os.path.exists(main + ".package"):
            shutil.copy(main, main + ".package")
        self.configuration = read(main + ".package")

    def configure(self, mode):
        more = "myhostname = postfix.bench.test\nmydestination = localhost\n"
        more += f"relayhost = [{SINK[0]}]:{SINK[1]}\n"
        if mode != "relay":
            more += "smtpd_recipient_restrictions = check_client_access static:HOLD\n"
        text = re.sub(r"(?m)^(myhostname|mydestination|relayhost) =.*\n", "", self.configuration)
        write(os.path.join(self.root, "etc/postfix/main.cf"), text + more)
        self.inside("/usr/lib/postfix/configure-instance.sh", "-")

    def command(self):
        return ["/usr/lib/postfix/sbin/master", "-d"]

    def found(self):
        return files_below(os.path.join(self.directory, "hold"))

    def waiting(self):
        return sum(files_below(os.path.join(self.directory, queue)) for queue in ("incoming", "active", "deferred"))


class Exim(Peer):
    name, title, package = "exim", "Exim", "exim4-daemon-light"
    spool = "/var/spool/exim4"
    PACE = {"one": 0.1, "relaying": 0.1}
    idle_connections = 90
    CHANGES = (
        ("dc_eximconfig_configtype = smarthost, dc_smarthost", "Debian's own kind of configuration for a relay; smtp-sink"),
        ("queue_only = true", "for acceptance: nothing is delivered"),
        ("smtp_accept_max = 0", "20 connections otherwise, and more are turned away"),
        ("smtp_accept_queue_per_connection = 0", "from the eleventh message of a connection on it would leave them to the next queue run"),
        ("smtp_accept_max_per_connection = 0", "1,000 messages otherwise, and more are turned away"),
    )

    def configure(self, mode):
        write(
            os.path.join(self.root, "etc/exim4/update-exim4.conf.conf"),
            "dc_eximconfig_configtype='smarthost'\n"
            "dc_other_hostnames='exim.bench.test'\n"
            "dc_local_interfaces='127.0.0.1'\n"
            "dc_readhost='exim.bench.test'\n"
            "dc_relay_domains=''\n"
            "dc_minimaldns='false'\n"
            "dc_relay_nets='127.0.0.0/8'\n"
            f"dc_smarthost='{SINK[0]}::{SINK[1]}'\n"
            "CFILEMODE='644'\n"
            "dc_use_split_config='false'\n"
            "dc_hide_mailname='false'\n"
            "dc_mailname_in_oh='true'\n"
            "dc_localdelivery='mail_spool'\n",
        )
        write(
            os.path.join(self.root, "etc/exim4/exim4.conf.localmacros"),
            "smtp_accept_max = 0\nsmtp_accept_queue_per_connection = 0\nsmtp_accept_max_per_connection = 0\n"
            + ("" if mode == "relay" else "queue_only = true\n"),
        )
        self.inside("update-exim4.conf")
        log = os.path.join(self.root, "var/log/exim4/mainlog")
        if os.path.lexists(log):
            empty(log)

    def command(self):
        return ["/usr/sbin/exim4", "-bdf", "-q30m"]

    def found(self):
        return files_below(os.path.join(self.directory, "input"), "-H")

    waiting = found


class OpenSmtpd(Peer):
    name, title, package = "opensmtpd", "OpenSMTPD", "opensmtpd"
    spool = "/var/spool/smtpd"
    PACE = {"one": 0.1, "relaying": 0.1}
    idle_connections = 500
    CHANGES = (
        ("action relay host smtp://…", "smtp-sink, for relaying"),
        ("smtp limit max-mails 1000000", "100 messages of a connection otherwise, and more are turned away"),
        ("smtpctl pause mda, pause mta", "for acceptance: nothing is delivered"),
    )

    def configure(self, mode):
        write(
            os.path.join(self.root, "etc/smtpd.conf"),
            "table aliases file:/etc/aliases\n"
            "smtp limit max-mails 1000000\n"
            "listen on localhost\n"
            'action "local" maildir alias <aliases>\n'
            f'action "relay" relay host smtp://{SINK[0]}:{SINK[1]}\n'
            'match for local action "local"\n'
            'match from local for any action "relay"\n',
        )
        os.makedirs(os.path.join(self.root, "run"), exist_ok=True)

    def command(self):
        return ["/usr/sbin/smtpd", "-d"]

    def prepare(self):
        os.makedirs(self.root + self.spool, mode=0o711, exist_ok=True)  # the package leaves it to the first start
        super().prepare()

    def ready(self, mode):
        if mode != "relay":
            self.inside("smtpctl", "pause", "mda")
            self.inside("smtpctl", "pause", "mta")

    def found(self):
        """A directory for each message, with its body and its envelopes."""
        return sum("message" in names for _, _, names in os.walk(os.path.join(self.directory, "queue")))

    waiting = found


class Sink(Server):
    """Postfix's smtp-sink, which throws away what it takes: what the dialogue alone costs."""

    name = title = "smtp-sink"
    KINDS = ("acceptance",)
    PACE = {"many": 3, "one": 2}

    def __init__(self, top):
        super().__init__(top)
        self.root = os.path.join(top, "build", "roots", "postfix")

    def chroot(self):
        return self.root

    def version(self):
        return "of Postfix's package"

    def fresh(self, directory, mode):
        self.directory = directory

    def command(self):
        return sink_command("127.0.0.1", PORT)

    def found(self):
        return None


def sink_command(address, port, *options):
    return ["/usr/sbin/smtp-sink", "-u", "nobody", *options, "-m", "3000", f"{address}:{port}", "1000"]


ALL = (Demitd, Postfix, Exim, OpenSmtpd, Sink)
