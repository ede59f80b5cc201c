"""Onward delivery: Gateway and MX, retries, bounces, and what DSN options ask for."""

import email
import email.policy
import os
import re
import signal
import socket
import threading
import time

from demit_harness import PATIENCE, Peer, SystemTest, free_port, main, message, smtp_sink, spawn, tool, wait_until

DSN_EXTENSIONS = ("PIPELINING", "8BITMIME", "SIZE 100000000", "DSN", "SMTPUTF8", "ENHANCEDSTATUSCODES")


class RelayTest(SystemTest):
    def relay(self, peer, extra="", domain_extra=""):
        """A daemon that sends next.test to PEER, quickly and patiently."""
        gateway = f'Gateway = "127.0.0.1:{peer.port if isinstance(peer, Peer) else peer}"'
        options = "Retry_Interval = 1\nMax_Retry_Interval = 2\nHost_Failure_Retry = 1\n" + extra
        return self.daemon(self.site.config(f'{options}Domain "next.test" {{ {gateway} {domain_extra} }}\n'))

    def send(self, recipients="carol@next.test", sender="alice@local.test", text=None, **options):
        with self.client() as client:
            return client.deliver(sender, recipients, text or message("onward"), **options)

    def dsn(self, user="alice", count=1):
        """The DSNs that USER got, parsed: (message, per-message fields, [per-recipient fields], the whole text)."""
        reports = []
        for raw in self.site.wait_for_mail(user, count, timeout_s=30):
            parsed = email.message_from_bytes(raw, policy=email.policy.default)
            self.assertEqual(parsed.get_content_type(), "multipart/report", raw)
            self.assertEqual(parsed.get_param("report-type"), "delivery-status")
            self.assertIn(b"Return-Path: <>\n", raw)
            parts = list(parsed.iter_parts())
            self.assertEqual(parts[0].get_content_type(), "text/plain")
            status = parts[1]
            self.assertEqual(status.get_content_type(), "message/delivery-status")
            blocks = status.get_payload()
            reports.append((parsed, blocks[0], blocks[1:], raw))
        return reports

    def check_no_mail(self, user="alice"):
        """Nothing came for USER by the time that a later message has made its way through."""
        time.sleep(1)
        self.assertEqual(self.site.maildir(user), [])


class Gateway(RelayTest):
    def test_message_arrives_as_it_was_sent(self):
        peer = self.peer()
        self.relay(peer)
        body = message("onward", "first\n.\n..dots\nlast")
        self.send(text=body)
        wait_until(lambda: peer.messages, 15, "the message at the peer")
        got = peer.messages[0]
        self.assertTrue(got["data"].endswith(body), got["data"])
        self.assertTrue(got["data"].startswith(b"Received: from client.example"))
        self.assertTrue(got["mail"].upper().startswith("MAIL FROM:<ALICE@LOCAL.TEST>"))
        self.assertTrue(got["rcpts"][0].startswith("RCPT TO:<carol@next.test>"))

    def test_recipients_of_a_domain_share_a_transaction(self):
        peer = self.peer()
        self.relay(peer)
        self.send([f"r{n}@next.test" for n in range(20)])
        wait_until(lambda: sum(len(m["rcpts"]) for m in peer.messages) == 20, 15, "20 recipients")
        self.assertEqual(len(peer.messages), 1)

    def test_smtp_sink(self):
        """500 messages relayed into Postfix's smtp-sink, each exactly once."""
        source, port = tool("smtp-source"), free_port()
        directory = self.site.make_owned("sink", mode=0o777)
        smtp_sink(self, port, "-d", "m.%M.", cwd=directory)  # one file per message
        self.relay(port)
        client = spawn(
            self, [source, "-s", "5", "-m", "500", "-f", "a@local.test", "-t", "x@next.test", f"inet:127.0.0.1:{self.site.port}"]
        )
        self.assertEqual(client.wait(60 * PATIENCE), 0)
        wait_until(lambda: len(os.listdir(directory)) >= 500, 60, "500 messages in smtp-sink")
        time.sleep(0.5)
        self.assertEqual(len(os.listdir(directory)), 500)

    def test_large_message(self):
        peer = self.peer()
        self.relay(peer)
        body = message("large", "\n".join("x" * 70 for _ in range(40000)))
        self.send(text=body)
        wait_until(lambda: peer.messages, 30, "the message at the peer")
        self.assertTrue(peer.messages[0]["data"].endswith(body))

    def test_peer_without_ehlo(self):
        peer = self.peer(answer=lambda verb, line, peer: "502 5.5.1 no" if verb == "EHLO" else None)
        self.relay(peer)
        self.send()
        wait_until(lambda: peer.messages, 15, "the message by HELO")
        self.assertNotIn("SIZE=", peer.messages[0]["mail"])

    def test_delivery_method_smtp_says_helo(self):
        peer = self.peer()
        self.relay(peer, domain_extra='Delivery_Method = "SMTP"')
        self.send()
        wait_until(lambda: peer.messages, 15, "the message by HELO")
        self.assertFalse(any(line.upper().startswith("EHLO") for line in peer.commands))

    def test_eight_bit_for_a_seven_bit_peer(self):
        """Converted to 7 bit, or bounced 5.6.3; never sent as it is."""
        peer = self.peer(extensions=("PIPELINING",))
        self.relay(peer)
        text = (
            "From: <alice@local.test>\r\nSubject: eight\r\nMIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
        ).encode()
        self.send(text=text, mail_options=" BODY=8BITMIME")
        wait_until(lambda: peer.messages or self.site.maildir("alice"), 20, "an outcome")
        if peer.messages:
            data = peer.messages[0]["data"]
            self.assertTrue(all(byte < 0x80 for byte in data))
            self.assertEqual(email.message_from_bytes(data, policy=email.policy.default).get_content(), "Grüße\n")
        else:
            self.assertEqual(self.dsn()[0][2][0]["Status"], "5.6.3")

    def test_utf8_address_for_a_peer_without_smtputf8(self):
        peer = self.peer()
        self.relay(peer)
        self.send("gülbahar@next.test", mail_options=" SMTPUTF8 BODY=8BITMIME")
        bounce = self.site.wait_for_mail("alice", timeout_s=30)[0]
        self.assertRegex(bounce, rb"report-type=\"?global-delivery-status")  # RFC 6533: its addresses are in UTF-8
        self.assertRegex(bounce, rb"(?m)^Status: 5\.6\.7$")
        self.assertEqual(peer.messages, [])


class Retries(RelayTest):
    def test_deferred_then_delivered(self):
        def answer(verb, line, peer):
            return "451 4.3.2 not now" if verb == "RCPT" and len(peer.refused) < 2 and not peer.refused.append(1) else None

        peer = self.peer(answer=answer)
        peer.refused = []
        daemon = self.relay(peer)
        self.send()
        daemon.wait_event(r"event=deferred .*carol@next\.test.*")
        wait_until(lambda: peer.messages, 30, "the retried message")
        daemon.wait_event(r"event=delivered .*carol@next\.test.*")
        self.assertEqual(len(peer.messages), 1)
        self.check_no_mail()

    def test_each_step_may_fail_for_now(self):
        """A 4yz at every step of the dialogue defers, and loses nothing."""
        for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DATA-END"):
            with self.subTest(step):
                failed = []

                def answer(verb, line, peer, step=step, failed=failed):
                    if verb == step and len(failed) < 1:
                        failed.append(verb)
                        return "421 4.3.2 try later" if verb == "CONNECT" else "451 4.3.2 try later"
                    return None

                peer = Peer(answer=answer)
                self.addCleanup(peer.close)
                daemon = self.relay(peer)
                self.send()
                wait_until(lambda peer=peer: peer.messages, 30, f"the message after a failed {step}")
                self.assertEqual(len(peer.messages), 1)
                daemon.stop()
                self.check_no_mail()

    def test_each_step_may_break_the_connection(self):
        for step in ("EHLO", "MAIL", "RCPT", "DATA"):
            with self.subTest(step):
                broken = []

                def answer(verb, line, peer, step=step, broken=broken):
                    if verb == step and not broken:
                        broken.append(verb)
                        return "CLOSE"
                    return None

                peer = Peer(answer=answer)
                self.addCleanup(peer.close)
                daemon = self.relay(peer)
                self.send()
                wait_until(lambda peer=peer: peer.messages, 30, f"the message after a connection broken at {step}")
                daemon.stop()
                self.check_no_mail()

    def test_some_recipients_now_some_later(self):
        later = []

        def answer(verb, line, peer):
            if verb == "RCPT" and "later@" in line and not later:
                later.append(1)
                return "450 4.2.1 busy"
            return None

        peer = self.peer(answer=answer)
        self.relay(peer)
        self.send(["now@next.test", "later@next.test"])
        wait_until(lambda: len(peer.messages) == 2, 30, "both")
        recipients = [[re.search(r"<(.*?)>", r).group(1) for r in m["rcpts"]] for m in peer.messages]
        self.assertIn("now@next.test", recipients[0])
        self.assertEqual(recipients[1], ["later@next.test"])

    def test_nobody_listens_until_later(self):
        port = free_port()
        daemon = self.relay(port)
        self.send()
        daemon.wait_event(r"event=deferred ")
        peer = self.peer(port=port)
        wait_until(lambda: peer.messages, 30, "the message once the peer is there")

    def test_retry_survives_a_restart(self):
        port = free_port()
        daemon = self.relay(port)
        self.send()
        daemon.wait_event(r"event=deferred ")
        daemon.stop()
        peer = self.peer(port=port)
        daemon.start()
        wait_until(lambda: peer.messages, 30, "the message after the restart")
        self.assertEqual(len(peer.messages), 1)

    def test_message_expires(self):
        daemon = self.relay(free_port(), extra="Message_Expiration = 3\n")
        self.send()
        _, _, recipients, _ = self.dsn()[0]
        self.assertEqual(recipients[0]["Action"], "failed")
        self.assertRegex(recipients[0]["Status"], r"^[45]\.4\.")
        daemon.wait_event(r"event=failed ")


class Stopping(RelayTest):
    def test_asked_twice_it_waits_for_no_peer(self):
        """What a peer that says nothing was about to get stays in the spool, and is delivered by the next start."""
        silent, asked = threading.Event(), threading.Event()
        self.addCleanup(silent.set)

        def answer(verb, _line, _peer):
            if verb == "MAIL":
                asked.set()
                silent.wait()

        peer = self.peer(answer=answer)
        daemon = self.relay(peer)
        self.send()
        self.assertTrue(asked.wait(20 * PATIENCE))
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("event=stopping")
        daemon.stop()
        self.assertEqual(peer.messages, [])
        silent.set()
        daemon.start()
        wait_until(lambda: peer.messages, 20, "the message at the peer")


class Bounces(RelayTest):
    def refuse(self, reply="550 5.1.1 no such user"):
        return self.peer(answer=lambda verb, line, peer: reply if verb == "RCPT" else None, extensions=DSN_EXTENSIONS)

    def test_permanent_failure_is_reported(self):
        daemon = self.relay(self.refuse())
        self.send(mail_options=" ENVID=abc+2B123", rcpt_options=" ORCPT=rfc822;first+2Bcarol@next.test")
        parsed, about, recipients, raw = self.dsn()[0]
        self.assertEqual(about["Reporting-MTA"].replace(" ", ""), "dns;mx.local.test")
        self.assertEqual(about["Original-Envelope-Id"], "abc+123")
        self.assertEqual(recipients[0]["Final-Recipient"].replace(" ", ""), "rfc822;carol@next.test")
        self.assertEqual(recipients[0]["Original-Recipient"].replace(" ", ""), "rfc822;first+carol@next.test")
        self.assertEqual(recipients[0]["Action"], "failed")
        self.assertEqual(recipients[0]["Status"], "5.1.1")
        self.assertIn("no such user", recipients[0]["Diagnostic-Code"])
        self.assertIn(b"Subject: onward", raw)
        self.assertEqual(parsed["To"].replace("<", "").replace(">", ""), "alice@local.test")
        self.assertEqual(parsed["Auto-Submitted"], "auto-replied")
        daemon.wait_event(r"event=failed .*carol@next\.test.*")

    def test_one_bounce_for_several_recipients(self):
        self.relay(self.refuse())
        self.send([f"r{n}@next.test" for n in range(5)])
        reports = self.dsn()
        time.sleep(1)
        self.assertEqual(len(self.site.maildir("alice")), len(reports))
        self.assertEqual(sum(len(recipients) for _, _, recipients, _ in reports), 5)

    def test_null_sender_never_bounces(self):
        daemon = self.relay(self.refuse())
        self.send(sender="")
        daemon.wait_event(r"event=failed ")
        with self.client() as client:
            client.deliver("alice@local.test", "marker@local.test", message("marker"))
        self.site.wait_for_mail("marker")
        self.assertEqual(sorted(os.listdir(self.site.path("mail"))), ["marker"])

    def test_bounces_can_be_turned_off(self):
        daemon = self.relay(self.refuse(), extra="Generate_Bounces = false\n")
        self.send()
        daemon.wait_event(r"event=failed ")
        self.check_no_mail()

    def test_notify_never(self):
        daemon = self.relay(self.refuse())
        self.send(rcpt_options=" NOTIFY=NEVER")
        daemon.wait_event(r"event=failed ")
        self.check_no_mail()

    def test_notify_success_only_says_nothing_about_failure(self):
        daemon = self.relay(self.refuse())
        self.send(rcpt_options=" NOTIFY=SUCCESS")
        daemon.wait_event(r"event=failed ")
        self.check_no_mail()

    def test_return_headers_only(self):
        self.relay(self.refuse())
        self.send(mail_options=" RET=HDRS", text=message("onward", "SECRETBODY"))
        parsed, _, _, raw = self.dsn()[0]
        self.assertNotIn(b"SECRETBODY", raw)
        self.assertEqual(list(parsed.iter_parts())[2].get_content_type(), "text/rfc822-headers")

    def test_return_in_full(self):
        self.relay(self.refuse())
        self.send(mail_options=" RET=FULL", text=message("onward", "WHOLEBODY"))
        parsed, _, _, raw = self.dsn()[0]
        self.assertIn(b"WHOLEBODY", raw)
        self.assertEqual(list(parsed.iter_parts())[2].get_content_type(), "message/rfc822")

    def test_bounce_of_a_bounce_ends(self):
        """A sender that cannot be reached either: the DSN fails, and that is the end."""
        daemon = self.relay(self.refuse())
        self.send(sender="ghost@next.test")
        wait_until(lambda: len(daemon.events("failed")) >= 2, 30, "the message's and its DSN's failure")
        time.sleep(1)
        self.assertEqual(len(daemon.events("failed")), 2)


class Notifications(RelayTest):
    def test_success_in_a_local_mailbox(self):
        self.relay(self.peer())
        self.send("bob@local.test", rcpt_options=" NOTIFY=SUCCESS,FAILURE")
        self.site.wait_for_mail("bob")
        _, _, recipients, _ = self.dsn()[0]
        self.assertEqual(recipients[0]["Action"], "delivered")
        self.assertRegex(recipients[0]["Status"], r"^2\.")

    def test_relayed_to_a_peer_without_dsn(self):
        peer = self.peer()
        self.relay(peer)
        self.send(rcpt_options=" NOTIFY=SUCCESS")
        _, _, recipients, _ = self.dsn()[0]
        self.assertEqual(recipients[0]["Action"], "relayed")
        self.assertNotIn("NOTIFY", peer.messages[0]["rcpts"][0])

    def test_passed_on_to_a_peer_with_dsn(self):
        peer = self.peer(extensions=DSN_EXTENSIONS)
        self.relay(peer)
        self.send(
            mail_options=" RET=HDRS ENVID=xyz",
            rcpt_options=" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2Bd@next.test",
        )
        wait_until(lambda: peer.messages, 15, "the message at the peer")
        mail, rcpt = peer.messages[0]["mail"], peer.messages[0]["rcpts"][0]
        self.assertIn("RET=HDRS", mail)
        self.assertIn("ENVID=xyz", mail)
        self.assertIn("ORCPT=rfc822;c+2Bd@next.test", rcpt)
        notify = re.search(r"NOTIFY=(\S+)", rcpt).group(1)
        self.assertEqual(set(notify.split(",")), {"SUCCESS", "DELAY"})
        self.check_no_mail()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Ourselves(SystemTest):
    def test_no_address_of_this_host_makes_mail_circle(self):
        """A client in Relay_Hosts is what we are to ourselves: only not connecting, or hanging up at once, helps."""
        listen = f'Listen "*:{self.site.port}" {{}}'
        daemon = self.daemon(self.site.config(listen=listen, extra=f"Remote_SMTP_Port = {self.site.port}\n"))
        for address in ("127.0.0.1", "127.0.0.2", "0.0.0.0", "IPv6:::ffff:127.0.0.2", "IPv6:::ffff:0.0.0.0"):
            with self.subTest(address), self.client() as client:
                client.deliver("", f"joe@[{address}]", message("to ourselves"))
                daemon.wait_event(rf"event=failed .*to=<joe@\[{re.escape(address)}\]>")
        self.assertEqual(daemon.events("delivered"), [])


class MailExchangers(RelayTest):
    """Routing by DNS, answered by dnsmasq. Peers listen on addresses of 127/8 and one common port."""

    def dns(self, *records):
        dnsmasq, port = tool("dnsmasq"), free_port()
        options = ["--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces", "--pid-file="]
        # It is the authority for .test: what it does not know there does not exist, rather than being refused.
        options += [f"--port={port}", "--listen-address=127.0.0.1", "--log-facility=-", "--local=/test/"]
        options += ["--user=root"] if os.geteuid() == 0 else []
        spawn(self, [dnsmasq, *options, *records])
        wait_until(lambda: answers(port), 10, "dnsmasq")
        return port

    def peers(self, *addresses, answer=None):
        """Peers on the same free port of several loopback addresses."""
        port, peers = free_port(), []
        for address in addresses:
            peer = Peer(answer=answer, port=port, address=address)
            self.addCleanup(peer.close)
            peers.append(peer)
        return port, peers

    def routed(self, dns_port, smtp_port, extra=""):
        return self.daemon(
            self.site.config(
                f'Nameservers = ( "127.0.0.1:{dns_port}" )\nRemote_SMTP_Port = {smtp_port}\n'
                f"Retry_Interval = 1\nHost_Failure_Retry = 1\n{extra}"
            )
        )

    def test_best_preference_first(self):
        port, (best, other) = self.peers("127.0.0.11", "127.0.0.12")
        dns = self.dns(
            "--mx-host=mx.test,good.mx.test,10", "--mx-host=mx.test,bad.mx.test,20",
            "--address=/good.mx.test/127.0.0.11", "--address=/bad.mx.test/127.0.0.12",
        )  # fmt: skip
        self.routed(dns, port)
        self.send("x@mx.test")
        wait_until(lambda: best.messages, 20, "the message at the best exchanger")
        self.assertEqual(other.messages, [])

    def test_next_exchanger_when_the_first_is_down(self):
        port, (other,) = self.peers("127.0.0.12")
        dns = self.dns(
            "--mx-host=mx.test,good.mx.test,10", "--mx-host=mx.test,bad.mx.test,20",
            "--address=/good.mx.test/127.0.0.11", "--address=/bad.mx.test/127.0.0.12",
        )  # fmt: skip
        self.routed(dns, port)
        self.send("x@mx.test")
        wait_until(lambda: other.messages, 20, "the message at the second exchanger")

    def test_address_without_mx(self):
        """RFC 5321 5.1: no MX, so the domain is its own."""
        port, (host,) = self.peers("127.0.0.13")
        self.routed(self.dns("--address=/plain.test/127.0.0.13"), port)
        self.send("x@plain.test")
        wait_until(lambda: host.messages, 20, "the message at the address itself")

    def test_international_domain(self):
        """Asked for in A-labels; said as it was written to a peer with SMTPUTF8, and in A-labels to one without."""
        for extensions, said in ((DSN_EXTENSIONS, "bücher.test"), (("PIPELINING", "8BITMIME"), "xn--bcher-kva.test")):
            with self.subTest(said):
                port = free_port()
                peer = Peer(port=port, address="127.0.0.14", extensions=extensions)
                dns = self.dns("--mx-host=xn--bcher-kva.test,mail.test,10", "--address=/mail.test/127.0.0.14")
                daemon = self.routed(dns, port)
                self.send("x@bücher.test", mail_options=" SMTPUTF8")
                wait_until(lambda: peer.messages, 20, "the message at the exchanger")
                self.assertTrue(peer.messages[0]["rcpts"][0].startswith(f"RCPT TO:<x@{said}>"), peer.messages[0]["rcpts"])
                daemon.stop()
                peer.close()

    def test_unknown_domain_bounces(self):
        self.routed(self.dns(), 9)
        self.send("x@nowhere.test")
        _, _, recipients, _ = self.dsn()[0]
        self.assertRegex(recipients[0]["Status"], r"^5\.(1\.2|4\.4)$")

    def test_null_mx_bounces(self):
        """RFC 7505: the domain takes no mail."""
        self.routed(self.dns("--mx-host=nomail.test,.,0"), 9)
        self.send("x@nomail.test")
        _, _, recipients, _ = self.dsn()[0]
        self.assertRegex(recipients[0]["Status"], r"^5\.(1\.10|1\.2|4\.4)$")

    def test_dead_name_server_defers(self):
        daemon = self.routed(free_port(), 9, extra="Message_Expiration = 3600\n")
        self.send("x@anywhere.test")
        daemon.wait_event(r"event=deferred ", timeout_s=60)
        self.check_no_mail()

    def test_prohibited_hosts(self):
        """Whoever can write DNS must not make us talk to ourselves."""
        port, (host,) = self.peers("127.0.0.13")
        config = self.site.config(
            f'Nameservers = ( "127.0.0.1:{self.dns("--address=/evil.test/127.0.0.13")}" )\nRemote_SMTP_Port = {port}\n'
        ).replace("( 192.0.2.0/24 )", "( 127.0.0.0/8 )")
        self.daemon(config)
        self.send("x@evil.test")
        wait_until(lambda: self.site.maildir("alice"), 20, "the bounce")
        self.assertEqual(host.connections, 0)


if __name__ == "__main__":
    main()
