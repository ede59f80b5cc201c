"""LMTP (RFC 2033): one answer per recipient, and Dovecot's server as the public proof."""

import os
import re

from demit_harness import TEST_GID, TEST_UID, SystemTest, free_port, main, message, needs_root, spawn, tool, wait_until

DOVECOT = """
base_dir = {base}/dovecot-run
state_dir = {base}/dovecot-state
log_path = {base}/dovecot.log
protocols = lmtp
ssl = no
first_valid_uid = 1
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = daemon
mail_location = maildir:{base}/dovecot-mail/%n
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/dovecot-mail/%n allow_all_users=yes
}}
passdb {{
  driver = static
  args = nopassword=y
}}
service lmtp {{
  unix_listener {base}/dovecot-lmtp.sock {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


class Lmtp(SystemTest):
    def lmtp(self, gateway, extra=""):
        options = "Retry_Interval = 1\nMax_Retry_Interval = 2\nHost_Failure_Retry = 1\n"
        return self.daemon(
            self.site.config(f'{options}Domain "box.test" {{ Delivery_Method = "LMTP" Gateway = "{gateway}" {extra} }}\n')
        )

    def send(self, *users):
        with self.client() as client:
            client.deliver("alice@local.test", [f"{user}@box.test" for user in users], message("by LMTP", "line\n.\nend"))

    def test_unix_socket(self):
        path = self.site.path("run", "lmtp.sock")
        peer = self.peer(lmtp=True, path=path)
        self.lmtp(path)
        self.send("bob", "carol")
        wait_until(lambda: peer.messages, 15, "the message")
        self.assertTrue(any(line.upper().startswith("LHLO ") for line in peer.commands))
        self.assertEqual(len(peer.messages[0]["rcpts"]), 2)
        self.assertTrue(peer.messages[0]["data"].endswith(message("by LMTP", "line\n.\nend")))

    def test_one_answer_per_recipient(self):
        """Taken, refused for good, refused for now: each recipient has an end of his own."""
        asked = []

        def answer(verb, line, peer):
            if verb != "DATA-END":
                return None
            user = re.search(r"<(\w+)@", line).group(1)
            asked.append(user)
            if user == "full":
                return "552 5.2.2 mailbox full"
            if user == "busy" and asked.count("busy") == 1:
                return "450 4.2.1 busy"
            return None

        peer = self.peer(lmtp=True, answer=answer)
        daemon = self.lmtp(f"127.0.0.1:{peer.port}")
        self.send("good", "full", "busy")
        bounce = self.site.wait_for_mail("alice", 1, timeout_s=30)[0]
        self.assertIn(b"full@box.test", bounce)
        self.assertIn(b"5.2.2", bounce)
        self.assertNotIn(b"good@box.test", bounce)
        wait_until(lambda: asked.count("busy") == 2, 30, "the retry of the busy one")
        self.assertEqual((asked.count("good"), asked.count("full")), (1, 1))
        daemon.wait_event(r"event=delivered .*busy@box\.test.* via=lmtp ")

    @needs_root
    def test_dovecot(self):
        """200 messages into Dovecot, by Unix socket and by TCP; each arrives once and whole."""
        dovecot = tool("dovecot")
        if not os.path.exists("/usr/lib/dovecot/lmtp"):
            self.skipTest("dovecot-lmtpd is not installed")
        for name in ("dovecot-run", "dovecot-state"):
            os.makedirs(self.site.path(name))
        self.site.make_owned("dovecot-mail")
        port = free_port()
        text = DOVECOT.format(base=self.site.base, uid=TEST_UID, gid=TEST_GID, port=port)
        spawn(self, [dovecot, "-F", "-c", self.site.write("dovecot.conf", text)])
        socket_path = self.site.path("dovecot-lmtp.sock")
        wait_until(lambda: os.path.exists(socket_path), 20, "Dovecot's socket")
        for number, gateway in enumerate((socket_path, f"127.0.0.1:{port}")):
            user = f"dove{number}"
            daemon = self.lmtp(gateway)
            with self.client() as client:
                for index in range(100):
                    client.deliver("alice@local.test", f"{user}@box.test", message(f"dovecot {index}", "line\n.\n..end"))
            inbox = self.site.path("dovecot-mail", user, "new")
            wait_until(lambda inbox=inbox: os.path.isdir(inbox) and len(os.listdir(inbox)) >= 100, 60, "100 messages")
            daemon.stop()
            subjects = set()
            for name in os.listdir(inbox):
                with open(os.path.join(inbox, name), "rb") as file:
                    stored = file.read()
                subjects.add(re.search(rb"Subject: dovecot (\d+)", stored).group(1))
                self.assertTrue(stored.replace(b"\r\n", b"\n").endswith(b"\nline\n.\n..end\n"))
            self.assertEqual((len(subjects), len(os.listdir(inbox))), (100, 100))


if __name__ == "__main__":
    main()
