"""Public clients, not ours: Postfix's smtp-source, swaks, Python's smtplib."""

import email
import email.message
import email.policy
import os
import re
import smtplib
import subprocess

from demit_harness import PATIENCE, TEST_UID, SystemTest, main, split_trace, tool


class Tools(SystemTest):
    def run_tool(self, *command):
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120 * PATIENCE, check=False
        )

    def test_smtp_source(self):
        """2,000 messages in 20 sessions: all accepted, all delivered, once."""
        smtp_source = tool("smtp-source")
        self.daemon()
        result = self.run_tool(
            smtp_source, "-s", "20", "-m", "2000", "-l", "1000", "-f", "a@local.test", "-t", "source@local.test",
            f"inet:127.0.0.1:{self.site.port}",
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        self.site.wait_for_mail("source", 2000, timeout_s=60)
        self.assertEqual(len(self.site.maildir("source")), 2000)

    def test_smtp_source_one_message_per_connection(self):
        smtp_source = tool("smtp-source")
        self.daemon()
        result = self.run_tool(
            smtp_source, "-d", "-s", "10", "-m", "500", "-r", "3", "-f", "a@local.test", "-t", "d@local.test",
            f"inet:127.0.0.1:{self.site.port}",
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_swaks(self):
        swaks = tool("swaks")
        self.daemon()
        result = self.run_tool(
            swaks, "--server", f"127.0.0.1:{self.site.port}", "--from", "alice@local.test", "--to", "swaks@local.test",
            "--header", "Subject: by swaks", "--body", "A line.\n.\n..two\n",
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        _, text = split_trace(self.site.wait_for_mail("swaks")[0])
        self.assertIn(b"Subject: by swaks\n", text)
        self.assertIn(b"A line.\n.\n..two\n", text)

    def test_swaks_over_a_unix_socket(self):
        """A Listen that is a path: made by the new identity, with its mode, and gone with the daemon."""
        swaks, path = tool("swaks"), self.site.path("run", "smtp.sock")
        daemon = self.daemon(self.site.config(listen=f'Listen "{path}" {{ File_Mode = 0660 }}'), start=False)
        daemon.start(ready=False)
        daemon.wait_event("event=ready")
        status = os.stat(path)
        self.assertEqual((status.st_uid, status.st_mode & 0o777), (TEST_UID, 0o660))
        result = self.run_tool(swaks, "--socket", path, "--from", "alice@local.test", "--to", "swaks@local.test")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.site.wait_for_mail("swaks")
        daemon.stop()
        self.assertFalse(os.path.exists(path))

    def test_swaks_pipelined(self):
        swaks = tool("swaks")
        self.daemon()
        result = self.run_tool(
            swaks, "--server", f"127.0.0.1:{self.site.port}", "--from", "alice@local.test", "--to",
            "one@local.test,two@local.test", "--pipeline",
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.site.wait_for_mail("one")
        self.site.wait_for_mail("two")


class SmtpLib(SystemTest):
    def setUp(self):
        super().setUp()
        self.running = self.daemon()

    def connect(self):
        client = smtplib.SMTP("127.0.0.1", self.site.port, "client.example", timeout=20 * PATIENCE)
        self.addCleanup(client.close)
        return client

    def parsed(self, user):
        return email.message_from_bytes(self.site.wait_for_mail(user)[0], policy=email.policy.default)

    def test_attachment(self):
        mail = email.message.EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "alice@local.test", "attach@local.test", "With an attachment"
        mail.set_content("See the attachment.\n")
        payload = bytes(range(256)) * 4000
        mail.add_attachment(payload, maintype="application", subtype="octet-stream", filename="all.bin")
        with self.connect() as client:
            self.assertEqual(client.send_message(mail), {})
        got = self.parsed("attach")
        self.assertEqual(next(got.iter_attachments()).get_content(), payload)

    def test_utf8(self):
        mail = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
        mail["From"], mail["To"], mail["Subject"] = "jürgen@local.test", "用户@local.test", "Grüße"
        mail.set_content("Schöne Grüße\n", cte="8bit")
        with self.connect() as client:
            client.ehlo()
            self.assertTrue(client.has_extn("smtputf8"))
            client.send_message(mail)  # smtplib adds SMTPUTF8 and BODY=8BITMIME by itself
        got = self.parsed("用户")
        self.assertEqual(got["Subject"], "Grüße")
        self.assertIn("UTF8SMTP", re.sub(r"\s+", " ", got["Received"]))

    def test_utf8_address_needs_the_parameter(self):
        with self.connect() as client:
            client.ehlo()
            client.mail("alice@local.test")
            client.putcmd("rset")
            client.getreply()
            client.send("MAIL FROM:<jürgen@local.test>\r\n".encode())
            self.assertIn(client.getreply()[0], (501, 550, 553, 555))

    def test_dsn_options(self):
        with self.connect() as client:
            client.ehlo()
            refused = client.sendmail(
                "alice@local.test",
                ["dsn@local.test"],
                "Subject: dsn\r\n\r\nx\r\n",
                ["RET=HDRS", "ENVID=QQ314159"],
                ["NOTIFY=NEVER", "ORCPT=rfc822;dsn@local.test"],
            )
            self.assertEqual(refused, {})
        self.site.wait_for_mail("dsn")

    def test_some_recipients_refused(self):
        with self.connect() as client:
            refused = client.sendmail("alice@local.test", ["good@local.test", "bad@@local.test"], "Subject: x\r\n\r\nx\r\n")
        self.assertEqual(list(refused), ["bad@@local.test"])
        self.site.wait_for_mail("good")

    def test_many_messages_on_one_connection(self):
        with self.connect() as client:
            for number in range(200):
                client.sendmail("alice@local.test", ["series@local.test"], f"Subject: {number}\r\n\r\nx\r\n")
        texts = self.site.wait_for_mail("series", 200)
        self.assertEqual(len({re.search(rb"Subject: \d+", text).group(0) for text in texts}), 200)


if __name__ == "__main__":
    main()
