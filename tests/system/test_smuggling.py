"""SMTP smuggling (CVE-2023-51764 and kin): only CRLF "." CRLF ends a message; what hides behind another end is no mail."""

import re

from demit_harness import SystemTest, main, message, wait_until

# What some servers have taken for the end of a message. None of these may end it.
SEQUENCES = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CR.CRLF": b"\r.\r\n",
    "CR.CR": b"\r.\r",
    "CRLF.LF": b"\r\n.\n",
    "CRLF.CR": b"\r\n.\r",
    "LF.CR": b"\n.\r",
    "CR.LF": b"\r.\n",
    "CRLF NUL . CRLF": b"\r\n\0.\r\n",
    "CRLF.NUL CRLF": b"\r\n.\0\r\n",
    "CRLF CR . CRLF": b"\r\n\r.\r\n",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "CRLF LF . CRLF": b"\r\n\n.\r\n",
}

SMUGGLED = (
    b"MAIL FROM:<admin@local.test>\r\nRCPT TO:<victim@local.test>\r\nDATA\r\n"
    b"From: <admin@local.test>\r\nSubject: smuggled\r\n\r\nsmuggled\r\n"
)


class Smuggling(SystemTest):
    def attempt(self, sequence, user):
        """Sends one message with SEQUENCE inside, followed by what would be a second one. Returns the final code."""
        with self.client() as client:
            client.envelope("alice@local.test", f"{user}@local.test")
            client.expect("DATA", 354)
            client.send(message("outer") + b"before" + sequence + SMUGGLED + b".\r\n")
            code, text = client.reply()
            client.expect("NOOP", 250)  # exactly one reply for the whole: the rest was data, not commands
            return code, text

    def check_no_smuggled_mail(self):
        with self.client() as client:
            client.deliver("alice@local.test", "marker@local.test", message("marker"))
        self.site.wait_for_mail("marker")
        self.assertEqual(self.site.maildir("victim"), [])

    def test_rejected_by_default(self):
        daemon = self.daemon()
        for name, sequence in SEQUENCES.items():
            with self.subTest(name):
                code, text = self.attempt(sequence, "bob")
                lone = re.search(rb"(?<!\r)\n|\r(?!\n)", sequence) is not None
                if lone:
                    self.assertEqual(code // 100, 5, f"{name}: {code} {text}")
                else:  # a NUL beside the dot: not an end; refused, or taken as data
                    self.assertIn(code // 100, (2, 5), f"{name}: {code} {text}")
        self.check_no_smuggled_mail()
        for stored in self.site.maildir("bob"):
            with open(stored, "rb") as file:
                self.assertIn(b"smuggled", file.read())
        self.assertTrue(daemon.alive())

    def lenient(self, mode):
        options = f"RFC2822_Lone_LF_in_Body = {mode}\nRFC2822_Lone_LF_in_Headers = {mode}\n"
        self.daemon(self.site.config(options))
        for number, (name, sequence) in enumerate(SEQUENCES.items()):
            with self.subTest(name):
                code, text = self.attempt(sequence, f"{mode}{number}")
                self.assertIn(code // 100, (2, 5), f"{name}: {code} {text}")
                if code == 250:
                    stored = self.site.wait_for_mail(f"{mode}{number}")[0]
                    self.assertIn(b"Subject: smuggled", stored)
        self.check_no_smuggled_mail()

    def test_fix_does_not_end_a_message_either(self):
        self.lenient("fix")

    def test_ignore_does_not_end_a_message_either(self):
        self.lenient("ignore")

    def test_fixed_mail_is_not_smuggled_onwards(self):
        """What goes out to the next hop holds CRLF line ends only, and a line that is a lone dot is stuffed."""
        peer = self.peer()
        options = (
            "RFC2822_Lone_LF_in_Body = fix\nRFC2822_Lone_LF_in_Headers = fix\n"
            f'Domain "next.test" {{ Gateway = "127.0.0.1:{peer.port}" }}\n'
        )
        self.daemon(self.site.config(options))
        with self.client() as client:
            client.envelope("alice@local.test", "carol@next.test")
            client.expect("DATA", 354)
            client.send(message("outer") + b"before\n.\n" + SMUGGLED + b".\r\n")
            code, _ = client.reply()
            self.assertEqual(code, 250)
        wait_until(lambda: peer.messages, 15, "the message at the next hop")
        self.assertEqual(len(peer.messages), 1)
        data = peer.messages[0]["data"]
        self.assertIn(b"before\r\n.\r\nMAIL FROM", data)
        self.assertIsNone(re.search(rb"(?<!\r)\n|\r(?!\n)", data))
        self.check_no_smuggled_mail()

    def test_lone_line_feed_in_header_and_body(self):
        """Each half of the message has its own option."""
        self.daemon(self.site.config("RFC2822_Lone_LF_in_Body = fix\n"))
        with self.client() as client:
            client.envelope("alice@local.test", "half@local.test")
            self.assertEqual(client.data(b"Subject: a\nX-Bad: b\r\n\r\nbody\r\n")[0] // 100, 5)
            client.envelope("alice@local.test", "half@local.test")
            self.assertEqual(client.data(b"Subject: a\r\n\r\none\ntwo\r\n")[0], 250)
        self.assertIn(b"one\ntwo\n", self.site.wait_for_mail("half")[0])

    def test_line_feed_ends_no_command_quietly(self):
        """A command line that ends in LF alone is never glued to the next nor obeyed twice."""
        self.daemon()
        with self.client() as client:
            client.send(b"MAIL FROM:<admin@local.test>\nNOOP\r\n")
            self.assertEqual([client.reply()[0] for _ in range(2)], [500, 250])
            client.expect("RCPT TO:<victim@local.test>", 503)


if __name__ == "__main__":
    main()
