"""A privileged port: bound as root before the identity is assumed, served without root. In a network of its own."""

import socket
import unittest

from demit_harness import BACK_END, SystemTest, enter_namespaces, main, message

PRIVATE = enter_namespaces("--net")


@unittest.skipUnless(PRIVATE, "needs root and a network namespace")
class PortTwentyFive(SystemTest):
    def setUp(self):
        super().setUp()
        self.site.port = 25

    def mail(self):
        with self.client() as client:
            client.deliver("alice@local.test", "bob@local.test", message("by port 25"))
        self.site.wait_for_mail("bob")

    def test_keeping_the_capability(self):
        daemon = self.daemon(self.site.config(security=self.site.security(Capabilities="cap_net_bind_service+ep")))
        self.mail()
        kept = 1 << 10 if BACK_END == "linux" else 0
        for status in daemon.threads():
            self.assertEqual(int(status["CapEff"], 16), kept)
            self.assertNotIn("0", status["Uid"].split())

    def test_keeping_nothing(self):
        daemon = self.daemon()
        self.mail()
        for status in daemon.threads():
            self.assertEqual(int(status["CapEff"], 16), 0)

    def test_every_address_and_several_listeners(self):
        listen = 'Listen "*:25" {} Listen "[::1]:2525" {} Listen "127.0.0.1:587" {} Listen "127.0.0.1:465" { Enable = false }'
        self.daemon(self.site.config(listen=listen))
        self.mail()
        for family, address in ((socket.AF_INET6, ("::1", 2525)), (socket.AF_INET, ("127.0.0.1", 587))):
            with socket.socket(family) as probe:
                try:
                    probe.connect(address)
                except OSError:
                    if family == socket.AF_INET6 and not socket.has_ipv6:
                        continue
                    raise
                self.assertEqual(probe.recv(3), b"220")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 465), 2)

    def test_default_listener_of_all_addresses_answers_on_each(self):
        self.daemon(self.site.config(listen='Listen ":25" {}'))
        for source in ("127.0.0.1", "127.0.0.2"):
            with socket.create_connection((source, 25), 5) as probe:
                self.assertEqual(probe.recv(3), b"220")


if __name__ == "__main__":
    main()
