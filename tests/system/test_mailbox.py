"""Local delivery: which mailboxes exist, aliases, the recipient delimiter, and names that must not lead elsewhere."""

import os
import re

from demit_harness import SystemTest, main, message, needs_root, wait_until


class Mailbox(SystemTest):
    def local(self, options="", create="true"):
        mail = self.site.path("mail")
        return self.daemon(
            self.site.config(
                f'Domain "box.test" {{ Delivery_Method = "Maildir" Maildir = "{mail}/%d/%u" Maildir_Create = {create} '
                f'Recipient_Delimiter = "+" {options} }}\nMax_Session_Errors = 1000\n',
                local=False,
            )
        )

    def inbox(self, *parts):
        path = self.site.path("mail", *parts, "new")
        return [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else []

    def send(self, *recipients):
        with self.client() as client:
            client.deliver("alice@local.test", recipients, message("local"))

    def test_names_are_folded(self):
        self.local()
        self.send("BoB@BOX.test")
        wait_until(lambda: self.inbox("box.test", "bob"), 15, "bob's mail")

    def test_international_domain(self):
        """Both spellings, in the configuration and in mail, are one domain, and its directory bears the A-label."""
        self.daemon(
            self.site.config(
                f'Domain "Bücher.test" {{ Delivery_Method = "Maildir" Maildir = "{self.site.path("mail")}/%d/%u" '
                'Maildir_Create = true Aliases = [ sales = "bob@BÜCHER.test" ] }\n',
                local=False,
            )
        )
        with self.client() as client:
            for recipient in ("bob@bücher.test", "bob@XN--BCHER-KVA.test", "sales@bücher.test"):
                client.deliver("alice@local.test", recipient, message("local"), mail_options=" SMTPUTF8")
            client.expect("MAIL FROM:<> SMTPUTF8", 250)
            code, text = client.command("RCPT TO:<bob@-bücher.test>")
            self.assertEqual((code, text[:5]), (501, "5.1.3"), text)
        wait_until(lambda: len(self.inbox("xn--bcher-kva.test", "bob")) == 3, 15, "bob's mail")
        self.assertEqual(os.listdir(self.site.path("mail")), ["xn--bcher-kva.test"])

    def test_delimiter(self):
        self.local()
        self.send("bob+shopping@box.test")
        wait_until(lambda: self.inbox("box.test", "bob"), 15, "bob's mail")
        with open(self.inbox("box.test", "bob")[0], "rb") as file:
            self.assertIn(b"bob+shopping@box.test", file.read())

    def test_unknown_mailbox(self):
        self.local(create="false")
        for part in ("box.test", "box.test/bob"):
            self.site.make_owned("mail", *part.split("/"))
        for name in ("tmp", "new", "cur"):
            self.site.make_owned("mail", "box.test", "bob", name)
        with self.client() as client:
            client.expect("MAIL FROM:<alice@local.test>", 250)
            code, text = client.command("RCPT TO:<nobody@box.test>")
            self.assertEqual(code, 550)
            self.assertTrue(text.startswith("5.1.1"), text)
            client.expect("RCPT TO:<bob@box.test>", 250)
            self.assertEqual(client.data(message("known"))[0], 250)
        wait_until(lambda: self.inbox("box.test", "bob"), 15, "bob's mail")

    def test_aliases(self):
        self.local('Aliases = [ postmaster = "admin@box.test" sales = "bob@box.test" ]')
        self.send("postmaster@box.test", "Sales@box.test")
        wait_until(lambda: self.inbox("box.test", "admin"), 15, "postmaster's mail")
        wait_until(lambda: self.inbox("box.test", "bob"), 15, "sales' mail")

    def test_names_that_lead_elsewhere(self):
        """No recipient's name leads out of the place that the configuration names."""
        self.local()
        names = ("..", ".", "../../etc", "a/b", "/etc/passwd", "-", ".hidden", "a\\b", "%u", "x" * 64)
        with self.client() as client:
            client.expect("MAIL FROM:<alice@local.test>", 250)
            for name in names:
                for written in (name, f'"{name}"'):
                    client.command(f"RCPT TO:<{written}@box.test>")
            client.command("RSET")
            for name in names:
                client.expect("MAIL FROM:<alice@local.test>", 250)
                if client.command(f'RCPT TO:<"{name}"@box.test>')[0] == 250:
                    self.assertIn(client.data(message("escape"))[0] // 100, (2, 4, 5))
                else:
                    client.expect("RSET", 250)
        self.send("marker@box.test")
        wait_until(lambda: self.inbox("box.test", "marker"), 15, "the marker")
        top = set(os.listdir(self.site.base))
        self.assertLessEqual(top, {"spool", "mail", "log", "run", "demit.conf", "stderr.log"})
        self.assertEqual(os.listdir(self.site.path("mail")), ["box.test"])
        for root, directories, _ in os.walk(self.site.path("mail", "box.test")):
            for name in directories:
                self.assertNotIn(name, ("etc", "passwd"), root)

    @needs_root
    def test_link_in_place_of_a_mailbox(self):
        """A planted link is not followed."""
        self.local()
        outside = self.site.make_owned("outside")
        self.site.make_owned("mail", "box.test")
        os.symlink(outside, self.site.path("mail", "box.test", "eve"))
        with self.client() as client:
            client.command("MAIL FROM:<alice@local.test>")
            if client.command("RCPT TO:<eve@box.test>")[0] == 250:
                client.data(message("to a link"))
        self.send("marker@box.test")
        wait_until(lambda: self.inbox("box.test", "marker"), 15, "the marker")
        self.assertEqual(os.listdir(outside), [])

    def test_received_header(self):
        self.local()
        self.send("bob@box.test")
        wait_until(lambda: self.inbox("box.test", "bob"), 15, "bob's mail")
        with open(self.inbox("box.test", "bob")[0], "rb") as file:
            text = re.sub(rb"\n[ \t]+", b" ", file.read())
        received = re.search(rb"(?m)^Received: (.*)$", text).group(1).decode()
        self.assertRegex(
            received,
            r"^from client\.example \(.*\[127\.0\.0\.1\].*\) by mx\.local\.test .*with ESMTP id \w+.*"
            r"; \w{3}, {1,2}\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
        )


if __name__ == "__main__":
    main()
