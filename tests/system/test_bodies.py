"""Bodies arrive byte for byte: what DATA or BDAT sent lies in the Maildir, LF for CRLF and nothing else changed."""

import os

from demit_harness import SystemTest, main, message, read_bytes, seeded, split_trace

HEADER = b"From: <alice@local.test>\r\nSubject: body\r\n\r\n"


def short_lines():
    """15 KB of lines of one to seven bytes."""
    random, lines, size = seeded("short lines"), [], 0
    while size < 15000:
        line = bytes(random.randrange(0x21, 0x7F) for _ in range(random.randrange(1, 8)))
        lines.append(line)
        size += len(line) + 2
    return b"\r\n".join(lines) + b"\r\n"


def many_kilobytes():
    """Beyond the threshold over which a body streams to the disk in chunks, and across chunk borders."""
    random = seeded("large")
    return b"".join(
        bytes(random.randrange(0x20, 0x7F) for _ in range(random.randrange(0, 78))) + b"\r\n" for _ in range(16000)
    )


# name → message content with CRLF line ends
BODIES = {
    "empty": HEADER,
    "nothing at all": b"",
    "one line": HEADER + b"Hello.\r\n",
    "dots": HEADER + b".\r\n..\r\n...\r\n.a\r\na.\r\n. \r\n.\r\n",
    "8-bit": HEADER + "Grüße, 你好, \u00e9\r\n".encode() + bytes(range(0x80, 0x100)) + b"\r\n",
    "990-byte lines": HEADER + b"".join(bytes([65 + i]) * 990 + b"\r\n" for i in range(20)),
    "998-byte line": HEADER + b"x" * 998 + b"\r\n",
    "short lines": HEADER + short_lines(),
    "empty lines": HEADER + b"\r\n" * 500 + b"end\r\n" + b"\r\n" * 3,
    "blanks": HEADER + b" \r\n\t\r\n  trailing  \r\n\tleading\r\n",
    "controls": HEADER + bytes(b for b in range(1, 0x20) if b not in (0x0A, 0x0D)) + b"\x7f\r\n",
    "From lines": HEADER + b"From me to you\r\n>From you to me\r\nFrom \r\n",
    "header only, no blank line": b"Subject: nothing follows\r\n",
    "no header": b"\r\nA body without a header.\r\n",
    "large": HEADER + many_kilobytes(),
}


class Bodies(SystemTest):
    def setUp(self):
        super().setUp()
        self.running = self.daemon()

    def stored(self, user):
        return split_trace(self.site.wait_for_mail(user)[0])

    def test_data(self):
        for number, (name, content) in enumerate(BODIES.items()):
            with self.subTest(name), self.client() as client:
                client.deliver("alice@local.test", f"data{number}@local.test", content, mail_options=" BODY=8BITMIME")
                trace, body = self.stored(f"data{number}")
                self.assertEqual(body, content.replace(b"\r\n", b"\n"))
                self.assertIn(b"Return-Path: <alice@local.test>", trace)
                self.assertIn(b"Delivered-To: ", trace)
                self.assertIn(b"Received: from client.example", trace)

    def test_data_in_pieces(self):
        """The same bytes, however the network cuts them."""
        content = BODIES["dots"]
        stuffed = HEADER + b"..\r\n...\r\n....\r\n..a\r\na.\r\n.. \r\n..\r\n.\r\n"
        with self.client() as client:
            for size in (1, 2, 3, 7):
                user = f"pieces{size}"
                client.envelope("alice@local.test", f"{user}@local.test")
                client.expect("DATA", 354)
                for start in range(0, len(stuffed), size):
                    client.send(stuffed[start : start + size])
                self.assertEqual(client.reply()[0], 250)
                self.assertEqual(self.stored(user)[1], content.replace(b"\r\n", b"\n"))

    def test_bdat(self):
        for number, (name, content) in enumerate(BODIES.items()):
            with self.subTest(name), self.client() as client:
                user = f"bdat{number}"
                client.envelope("alice@local.test", f"{user}@local.test", mail_options=" BODY=8BITMIME")
                cut = len(content) // 3
                client.send(b"BDAT %d\r\n" % cut + content[:cut])
                self.assertEqual(client.reply()[0], 250)
                client.send(b"BDAT %d LAST\r\n" % (len(content) - cut) + content[cut:])
                self.assertEqual(client.reply()[0], 250)
                self.assertEqual(self.stored(user)[1], content.replace(b"\r\n", b"\n"))

    def test_bdat_cut_inside_a_line_end(self):
        """A chunk may end between CR and LF (RFC 3030 4.2); the two are still one line end."""
        content = HEADER + b"first\r\nsecond\r\n"
        cut = content.index(b"first\r\n") + len(b"first\r")
        with self.client() as client:
            client.envelope("alice@local.test", "cut@local.test")
            client.send(b"BDAT %d\r\n" % cut + content[:cut])
            self.assertEqual(client.reply()[0], 250)
            client.send(b"BDAT %d LAST\r\n" % (len(content) - cut) + content[cut:])
            self.assertEqual(client.reply()[0], 250)
            self.assertEqual(self.stored("cut")[1], content.replace(b"\r\n", b"\n"))

    def test_bdat_without_a_final_line_end(self):
        """Only BDAT can send a last line without an end; the mailbox may add the end, but nothing else."""
        content = HEADER + b"no end here"
        with self.client() as client:
            client.envelope("alice@local.test", "noend@local.test")
            client.send(b"BDAT %d LAST\r\n" % len(content) + content)
            self.assertEqual(client.reply()[0], 250)
            body = self.stored("noend")[1]
            self.assertIn(body, (content.replace(b"\r\n", b"\n"), content.replace(b"\r\n", b"\n") + b"\n"))

    def test_one_line_of_300_kilobytes(self):
        """Taken whole, or refused with a clear 5yz; the session goes on."""
        content = HEADER + b"x" * 300_000 + b"\r\n"
        with self.client() as client:
            client.envelope("alice@local.test", "long@local.test")
            code, text = client.data(content)
            if code == 250:
                self.assertEqual(self.stored("long")[1], content.replace(b"\r\n", b"\n"))
            else:
                self.assertEqual(code // 100, 5, text)
                self.assertRegex(text, r"(?i)line")
                self.assertEqual(self.site.maildir("long"), [])
            client.deliver("alice@local.test", "after@local.test", message("after"))
        self.site.wait_for_mail("after")

    def test_many_large_messages(self):
        """The sessions stop and go on with the disk; none is left standing."""
        content = HEADER + (b"y" * 70 + b"\r\n") * 15000
        with self.client() as client:
            for _ in range(60):
                client.deliver("alice@local.test", "heavy@local.test", content)
        for stored in self.site.wait_for_mail("heavy", 60, timeout_s=60):
            self.assertEqual(split_trace(stored)[1], content.replace(b"\r\n", b"\n"))

    def test_many_recipients_one_body(self):
        users = [f"many{n}" for n in range(50)]
        content = BODIES["short lines"]
        with self.client() as client:
            client.deliver("alice@local.test", [f"{user}@local.test" for user in users], content)
        for user in users:
            self.assertEqual(self.stored(user)[1], content.replace(b"\r\n", b"\n"))

    def test_nothing_remains_in_tmp(self):
        with self.client() as client:
            client.deliver("alice@local.test", "tidy@local.test", message("tidy"))
        self.site.wait_for_mail("tidy")
        self.assertEqual(os.listdir(self.site.path("mail", "tidy", "tmp")), [])
        self.assertTrue(os.path.isdir(self.site.path("mail", "tidy", "cur")))
        self.assertNotIn(b"\r", read_bytes(self.site.maildir("tidy")[0]))


if __name__ == "__main__":
    main()
