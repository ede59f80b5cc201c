"""The SMTP server under every kind of client: orders and disorders of commands, pipelining, limits, junk."""

import re
import socket
import time

from demit_harness import PATIENCE, Smtp, SystemTest, main, message, seeded, wait_until


class Greeting(SystemTest):
    def test_extensions(self):
        self.daemon()
        with self.client(hello=False) as client:
            offered = client.hello().split("\n")[1:]
        words = {line.split(" ")[0].upper() for line in offered}
        wanted = {"SIZE", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN", "SMTPUTF8"}
        self.assertLessEqual(wanted, words)

    def test_helo_offers_nothing(self):
        self.daemon()
        with self.client(hello=False) as client:
            self.assertNotIn("\n", client.expect("HELO client.example", 250))
            client.deliver("alice@local.test", "helo@local.test", message("by HELO"))
        self.site.wait_for_mail("helo")

    def test_greeting_names_the_host(self):
        self.daemon()
        with self.client(hello=False, greet=False) as client:
            code, text = client.reply()
            self.assertEqual(code, 220)
            self.assertTrue(text.startswith("mx.local.test"), text)


class Order(SystemTest):
    def setUp(self):
        super().setUp()
        self.running = self.daemon()

    def test_commands_out_of_order(self):
        with self.client(hello=False) as client:
            client.expect("MAIL FROM:<alice@local.test>", 503)
            client.expect("RCPT TO:<bob@local.test>", 503)
            client.expect("DATA", 503)
            client.hello()
            client.expect("RCPT TO:<bob@local.test>", 503)
            client.expect("DATA", 503)
            client.expect("MAIL FROM:<alice@local.test>", 250)
            client.expect("MAIL FROM:<alice@local.test>", 503)
            self.assertIn(client.command("DATA")[0], (503, 554))
            client.expect("RCPT TO:<bob@local.test>", 250)
            client.expect("RSET", 250)
            client.expect("DATA", 503)

    def test_hello_again_resets(self):
        with self.client() as client:
            client.envelope("alice@local.test", "bob@local.test")
            client.hello()
            client.expect("DATA", 503)

    def test_small_commands(self):
        with self.client() as client:
            client.expect("NOOP", 250)
            client.expect("NOOP with words", 250)
            client.expect("noop", 250)
            client.expect("HELP", 2)
            self.assertIn(client.command("VRFY bob")[0], (250, 252, 502, 550))
            self.assertIn(client.command("EXPN list")[0], (250, 252, 502, 550))
            client.expect("RSET", 250)
            client.expect("QUIT", 221)
            self.assertTrue(client.at_end())

    def test_unknown_and_malformed(self):
        with self.client() as client:
            for line in ("FROBNICATE", "MAILFROM:<a@b.c>", "", " ", "\tNOOP"):
                self.assertIn(client.command(line)[0], (500, 502), line)
        with self.client() as client:
            for line in ("MAIL FROM:alice", "MAIL FROM:<alice", "MAIL TO:<alice@local.test>", "MAIL"):
                self.assertIn(client.command(line)[0], (501, 553, 555), line)
        with self.client() as client:
            self.assertIn(client.command("MAIL FROM:<a@b.c> NONSENSE=1")[0], (501, 504, 555))
            self.assertIn(client.command("MAIL FROM:<a@b.c> SIZE=abc")[0], (501, 555))
            client.expect("MAIL FROM:<alice@local.test>", 250)
            for line in ("RCPT TO:<>", "RCPT TO:bob", "RCPT TO:<bob@>", "RCPT TO:<@local.test>", "RCPT TO:<a b@c.d>"):
                self.assertIn(client.command(line)[0], (501, 550, 553, 555), line)

    def test_addresses(self):
        good = (
            "<>",
            '<"quoted string"@example.org>',
            "<a+b=c/d@example.org>",
            "<user@[192.0.2.1]>",
            "<user@[IPv6:2001:db8::1]>",
            "<@relay.example,@other.example:user@example.org>",
        )
        for address in good:
            with self.subTest(address), self.client() as client:
                client.expect(f"MAIL FROM:{address}", 250)

    def test_postmaster_without_a_domain(self):
        with self.client() as client:
            client.expect("MAIL FROM:<>", 250)
            client.expect("RCPT TO:<postmaster>", 250)
            client.expect("RSET", 250)
            client.expect("MAIL FROM:<>", 250)
            client.expect("RCPT TO:<PostMaster@local.test>", 250)

    def test_null_sender(self):
        with self.client() as client:
            client.deliver("", "null@local.test", message("null"))
        self.assertIn(b"Return-Path: <>\n", self.site.wait_for_mail("null")[0])


class Pipelining(SystemTest):
    def setUp(self):
        super().setUp()
        self.running = self.daemon(self.site.config("Max_Session_Errors = 1000\n"))

    def test_transactions_in_one_write(self):
        """Fifty whole transactions in a single send; every reply in order (RFC 2920)."""
        script, count = b"EHLO client.example\r\n", 50
        for number in range(count):
            script += (
                b"MAIL FROM:<alice@local.test>\r\nRCPT TO:<pipe@local.test>\r\nRCPT TO:<nobody@elsewhere.invalid.>\r\n"
                b"RCPT TO:<pipe2@local.test>\r\nDATA\r\n" + message(f"number {number}") + b".\r\n"
            )
        script += b"QUIT\r\n"
        with self.client(hello=False) as client:
            client.send(script)
            client.reply()
            for _ in range(count):
                codes = [client.reply()[0] for _ in range(6)]
                self.assertEqual((codes[0], codes[1], codes[3], codes[4], codes[5]), (250, 250, 250, 354, 250))
            self.assertEqual(client.reply()[0], 221)
        stored = self.site.wait_for_mail("pipe", count)
        subjects = {re.search(rb"Subject: number (\d+)", text).group(1) for text in stored}
        self.assertEqual(len(subjects), count)

    def test_every_cut(self):
        """One transaction, cut into two writes at every place, gives the same replies."""
        script = (
            b"EHLO c.example\r\nMAIL FROM:<alice@local.test>\r\nRCPT TO:<cut@local.test>\r\nDATA\r\n"
            b"Subject: cut\r\n\r\n..dot\r\n.\r\nQUIT\r\n"
        )
        places = range(1, len(script), 1)
        for place in places:
            client = Smtp(self.site.port)
            try:
                client.send(script[:place])
                time.sleep(0.001)
                client.send(script[place:])
                codes = [client.reply()[0] for _ in range(6)]
                self.assertEqual(codes, [250, 250, 250, 354, 250, 221], f"cut at {place}")
            finally:
                client.close()
        stored = self.site.wait_for_mail("cut", len(places))
        self.assertTrue(all(text.endswith(b"\n\n.dot\n") for text in stored))

    def test_data_refused_then_the_message_as_commands(self):
        """A client that pipelines DATA and text after all recipients were refused must not have its text obeyed."""
        self.running.stop()
        self.running = self.daemon(self.site.config(relay_hosts="( 192.0.2.1 )"))
        with self.client() as client:
            client.send(b"MAIL FROM:<a@local.test>\r\nRCPT TO:<x@not.ours.example>\r\nDATA\r\nSubject: x\r\n.\r\nNOOP\r\n")
            self.assertEqual([client.reply()[0] for _ in range(6)], [250, 550, 554, 500, 500, 250])

    def test_bdat_pipelined_after_a_refusal(self):
        """The octets of a refused BDAT are swallowed, not run as commands (RFC 3030 2)."""
        with self.client() as client:
            payload = b"MAIL FROM:<admin@local.test>\r\nQUIT\r\n"
            client.send(b"BDAT %d LAST\r\n" % len(payload) + payload + b"NOOP\r\n")
            self.assertEqual(client.reply()[0] // 100, 5)
            self.assertEqual(client.reply()[0], 250)


class Limits(SystemTest):
    def test_command_of_5000_bytes(self):
        self.daemon()
        for line in (b"A" * 5000, b"NOOP " + b"x" * 5000, b"MAIL FROM:<" + b"a" * 5000 + b"@local.test>"):
            with self.client() as client:
                self.assertIn(client.command(line)[0], (500, 501, 553))
                client.expect("NOOP", 250)

    def test_endless_command_line(self):
        """A line that never ends is cut off; memory does not grow with it."""
        daemon = self.daemon()
        with self.client() as client:
            try:
                for _ in range(200):
                    client.send(b"x" * 65536)
                client.send(b"\r\n")
                self.assertIn(client.reply()[0], (421, 500))
            except (ConnectionError, EOFError):
                pass
        self.assertTrue(daemon.alive())

    def test_nul_bytes(self):
        self.daemon()
        with self.client() as client:
            self.assertEqual(client.command(b"NOOP\0\0")[0] // 100, 5)
            self.assertEqual(client.command(b"MAIL FROM:<a\0b@local.test>")[0] // 100, 5)
            client.envelope("alice@local.test", "nul@local.test")
            code, _ = client.data(b"Subject: nul\r\n\r\na\0b\r\n")
            if code == 250:
                self.assertIn(b"a\0b", self.site.wait_for_mail("nul")[0])
            else:
                self.assertEqual(code // 100, 5)
            client.expect("NOOP", 250)

    def test_message_size(self):
        self.daemon(self.site.config("Max_Message_Size = 100000\n"))
        with self.client() as client:
            self.assertIn("SIZE 100000", client.hello())
            client.expect("MAIL FROM:<alice@local.test> SIZE=100001", 552)
            client.envelope("alice@local.test", "size@local.test")
            self.assertEqual(client.data(message("big", "x" * 70 + "\n" * 60000))[0], 552)
            client.deliver("alice@local.test", "size@local.test", message("small"))
        self.site.wait_for_mail("size")

    def test_recipients(self):
        self.daemon(self.site.config("Max_Recipients = 10\n"))
        with self.client() as client:
            client.expect("MAIL FROM:<alice@local.test>", 250)
            codes = [client.command(f"RCPT TO:<r{n}@local.test>")[0] for n in range(12)]
            self.assertEqual(codes, [250] * 10 + [452] * 2)
            self.assertEqual(client.data(message("to ten"))[0], 250)

    def test_connections_per_client(self):
        self.daemon(self.site.config("Max_Connections_Per_Client = 3\n"))
        clients = [self.client() for _ in range(3)]
        with self.client(hello=False, greet=False) as fourth:
            self.assertEqual(fourth.reply()[0], 421)
        other = self.client(source=("127.0.0.2", 0))
        other.expect("NOOP", 250)
        clients[0].expect("QUIT", 221)
        wait_until(self._accepted, 10, "a free place")

    def test_who_has_left_does_not_count(self):
        """The last place is free when a client has seen the end of his connection, not some time later."""
        self.daemon(self.site.config("Max_Connections = 1\nMax_Connections_Per_Client = 1\n"))
        for _ in range(100):
            with self.client(hello=False) as client:
                client.expect("QUIT", 221)
                client.at_end()

    def _accepted(self):
        with self.client(hello=False, greet=False) as client:
            return client.reply()[0] == 220

    def test_connections_in_all(self):
        daemon = self.daemon(self.site.config("Max_Connections = 20\n"))
        held, refused = [], 0
        for _ in range(60):
            client = self.client(hello=False, greet=False)
            try:
                code = client.reply()[0]
            except (EOFError, ConnectionError):
                code = 421
            if code == 220:
                held.append(client)
            else:
                self.assertEqual(code, 421)
                refused += 1
        self.assertLessEqual(len(held), 20)
        self.assertGreaterEqual(refused, 40)
        for client in held:  # those that it has, it goes on serving
            client.hello()
        self.assertTrue(daemon.alive())
        for client in held:
            client.close()
        wait_until(self._accepted, 10, "a free place")

    def test_errors_of_a_session(self):
        self.daemon(self.site.config("Max_Session_Errors = 5\n"))
        with self.client() as client:
            codes = []
            try:
                for _ in range(30):
                    codes.append(client.command("NONSENSE")[0])
            except (EOFError, ConnectionError):
                pass
            self.assertIn(421, codes)
            self.assertLess(len(codes), 10)

    def test_silent_client_is_sent_away(self):
        self.daemon(self.site.config("Command_Timeout = 1\n"))
        with self.client(hello=False) as client:  # a word of his own could be too late already
            self.assertEqual(client.reply()[0], 421)
            self.assertTrue(client.at_end())

    def test_hops(self):
        self.daemon(self.site.config("Max_Received_Hops = 10\n"))
        hops = "".join(f"Received: from h{n}.example by h{n + 1}.example; Mon, 1 Jan 2024 00:00:00 +0000\n" for n in range(11))
        with self.client() as client:
            client.envelope("alice@local.test", "hops@local.test")
            code, text = client.data(message("loop", extra=hops))
            self.assertEqual(code, 554, text)
            self.assertIn("5.4.6", text)

    def test_slow_client_does_not_hold_up_others(self):
        self.daemon()
        with self.client() as slow:
            slow.envelope("alice@local.test", "slow@local.test")
            slow.expect("DATA", 354)
            slow.send(b"Subject: slow\r\n\r\nhalf a li")
            with self.client() as quick:
                quick.deliver("alice@local.test", "quick@local.test", message("quick"))
            slow.send(b"ne\r\n.\r\n")
            self.assertEqual(slow.reply()[0], 250)
        self.assertIn(b"half a line\n", self.site.wait_for_mail("slow")[0])


class Disconnects(SystemTest):
    def test_half_a_message_is_no_message(self):
        self.daemon()
        for cut in (b"", b"Subject: half\r\n", b"Subject: half\r\n\r\nbody\r\n", b"Subject: half\r\n\r\nbody\r\n."):
            with self.client() as client:
                client.envelope("alice@local.test", "half@local.test")
                client.expect("DATA", 354)
                client.send(cut)
        with self.client() as client:
            client.deliver("alice@local.test", "whole@local.test", message("whole"))
        self.site.wait_for_mail("whole")
        self.assertEqual(self.site.maildir("half"), [])

    def test_reset_in_the_middle(self):
        daemon = self.daemon()
        for _ in range(50):
            client = self.client()
            client.envelope("alice@local.test", "reset@local.test")
            client.send(b"DATA\r\nSubject: x\r\n")
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        self.client().expect("NOOP", 250)
        self.assertTrue(daemon.alive())


class Junk(SystemTest):
    WORDS = (
        b"EHLO x\r\n", b"HELO\r\n", b"MAIL FROM:<a@local.test>\r\n", b"RCPT TO:<junk@local.test>\r\n", b"DATA\r\n", b".\r\n",
        b"BDAT 10\r\n", b"BDAT 0 LAST\r\n", b"BDAT 18446744073709551616 LAST\r\n", b"BDAT -1\r\n", b"RSET\r\n", b"NOOP\r\n",
        b"MAIL FROM:<> SIZE=99999999999999999999\r\n", b"RCPT TO:<\"\\\"@x>\r\n", b"\r\n", b"\n", b"\r", b"\0", b"<" * 300,
        b"MAIL FROM:<@@@@> BODY=\r\n", b"RCPT TO:<a@b> NOTIFY=NEVER,SUCCESS ORCPT=;\r\n", b"VRFY\r\n", b"HELP\r\n",
    )  # fmt: skip

    def stream(self, number):
        random = seeded(f"junk {number}")
        parts = []
        for _ in range(random.randrange(1, 60)):
            if random.random() < 0.5:
                parts.append(random.choice(self.WORDS))
            else:
                parts.append(random.randbytes(random.randrange(1, 400)))
        return b"".join(parts)

    def test_200_streams(self):
        daemon = self.daemon()
        for number in range(200):
            with Smtp(self.site.port) as client:
                client.socket.settimeout(2 * PATIENCE)
                try:
                    client.send(self.stream(number))
                    client.socket.shutdown(socket.SHUT_WR)
                    received = b""
                    while data := client.socket.recv(65536):
                        received += data
                except (ConnectionError, TimeoutError):
                    received = b""
            for line in (client.buffer + received).split(b"\r\n")[:-1]:
                self.assertRegex(line, rb"^[2-5][0-9][0-9][ -]", f"stream {number}")
            self.assertTrue(daemon.alive(), f"after stream {number}")
        with self.client() as client:
            client.deliver("alice@local.test", "alive@local.test", message("still alive"))
        self.site.wait_for_mail("alive")


class Relaying(SystemTest):
    def test_no_open_relay(self):
        self.daemon(self.site.config(relay_hosts="( 192.0.2.1 )"))
        with self.client() as client:
            client.expect("MAIL FROM:<alice@local.test>", 250)
            for address in ("x@elsewhere.example", "x%elsewhere.example@other.example", "<x@[192.0.2.9]>".strip("<>")):
                code, text = client.command(f"RCPT TO:<{address}>")
                self.assertEqual(code, 550, f"{address}: {text}")
            client.expect("RCPT TO:<bob@local.test>", 250)

    def test_relay_domains(self):
        options = 'Relay_Domains = ( friend.example *.wild.example *tail.example )\nGateway = "127.0.0.1:9"\n'
        self.daemon(self.site.config(options, relay_hosts="( 192.0.2.1 )"))
        expected = {
            "friend.example": 250, "FRIEND.example": 250, "a.friend.example": 550, "wild.example": 550, "a.wild.example": 250,
            "tail.example": 250, "badtail.example": 250, "a.tail.example": 250, "other.example": 550,
        }  # fmt: skip
        with self.client() as client:
            client.expect("MAIL FROM:<alice@local.test>", 250)
            for domain, code in expected.items():
                self.assertEqual(client.command(f"RCPT TO:<x@{domain}>")[0], code, domain)


if __name__ == "__main__":
    main()
