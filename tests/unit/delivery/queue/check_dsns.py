"""Reads back the notifications that write_dsns wrote, with a parser that is not ours."""

import email
import email.policy
import pathlib
import re
import subprocess
import sys
import tempfile

PLAIN = b"From: s@from.example\r\nSubject: plain\r\n\r\n.dot\r\n--boundary\r\nno end"
HEADER = b"From: s@from.example\r\nSubject: plain\r\n"


class Notification:
    def __init__(self, path):
        self.name = path.stem
        self.raw = path.read_bytes()
        self.message = email.message_from_bytes(self.raw, policy=email.policy.default)
        self.parts = list(self.message.iter_parts())
        self.boundary = self.message.get_boundary().encode()
        self.bodies = self.raw.split(b"--" + self.boundary)[1:-1]
        self.fields = self.blocks(self.bodies[1])

    @staticmethod
    def blocks(part):
        """The groups of fields of a delivery-status part, unfolded."""
        text = part.split(b"\r\n\r\n", 1)[1].decode()
        text = re.sub(r"\r\n[ \t]+", " ", text)
        groups = []
        for block in text.strip("\r\n").split("\r\n\r\n"):
            groups.append([line.split(": ", 1) for line in block.split("\r\n")])
        return groups

    def field(self, group, name):
        values = [f[1] for f in self.fields[group] if f[0] == name]
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    def returned(self):
        """The bytes of the third part, without the line end that belongs to the boundary."""
        body = self.bodies[2].split(b"\r\n\r\n", 1)[1]
        assert body.endswith(b"\r\n")
        return body[:-2]


def check_form(n):
    m = n.message
    assert not m.defects, m.defects
    assert m.get_content_type() == "multipart/report"
    assert m["Auto-Submitted"] == "auto-replied"
    assert m["MIME-Version"] == "1.0"
    assert m["From"].addresses[0].addr_spec == "MAILER-DAEMON@mx.demit.example"
    assert m["Message-ID"].endswith("@mx.demit.example>")
    assert m["Date"].datetime.utcoffset().total_seconds() == 0
    assert len(n.parts) == (2 if n.name == "empty" else 3), n.name
    assert n.parts[0].get_content_type() == "text/plain"
    for line in n.raw.split(b"\r\n"):
        assert len(line) <= 998, (n.name, len(line))
        assert b"\n" not in line and b"\r" not in line, (n.name, line)
    head = n.raw.split(b"\r\n\r\n", 1)[0]
    eight_bit = any(byte > 127 for byte in n.raw[len(head):])
    declared = m["Content-Transfer-Encoding"]
    assert not eight_bit or declared == "8bit", n.name
    for part, body in zip(n.parts, n.bodies):
        if any(byte > 127 for byte in body):
            assert part["Content-Transfer-Encoding"] == "8bit", n.name
    assert b"X-Evil" not in head and m["X-Evil"] is None
    for group in n.fields:
        for field in group:
            assert len(field) == 2 and field[0] != "X-Evil", (n.name, field)
    assert n.field(0, "Reporting-MTA") == "dns; mx.demit.example"
    assert n.field(0, "Arrival-Date")
    assert len(n.fields) == 3
    assert n.field(2, "Final-Recipient") == "rfc822; second@x.example"
    for group in (1, 2):
        assert n.field(group, "Last-Attempt-Date")


def is_type(n, number, content_type):
    assert n.parts[number].get_content_type() == content_type, (n.name, n.parts[number].get_content_type())


def failed(n):
    assert n.message["To"].addresses[0].addr_spec == "s@from.example"
    assert n.message.get_param("report-type") == "delivery-status"
    is_type(n, 1, "message/delivery-status")
    is_type(n, 2, "message/rfc822")
    assert n.field(0, "Original-Envelope-Id") == "QQ+314159="
    assert n.field(1, "Original-Recipient") == "rfc822; Bob+X@other.example"
    assert n.field(2, "Original-Recipient") is None
    assert n.field(1, "Final-Recipient") == "rfc822; a@x.example"
    assert n.field(1, "Action") == "failed"
    assert n.field(1, "Status") == "5.1.1"
    assert n.field(1, "Remote-MTA") == "dns; mx.x.example"
    assert n.field(1, "Diagnostic-Code") == "smtp; 550 5.1.1 <a@x.example>: no such user"
    assert n.returned() == PLAIN
    assert "no such user" in n.parts[0].get_content()


def headers(n):
    is_type(n, 2, "text/rfc822-headers")
    assert n.returned() == HEADER
    assert n.field(1, "Diagnostic-Code") == "x-demit; no"
    assert n.field(1, "Remote-MTA") is None


def alias(n):
    assert "<sales@our.example>" in n.parts[0].get_content()
    assert n.field(1, "Final-Recipient") == "rfc822; a@x.example"


def delivered(n):
    assert n.field(1, "Action") == "delivered" and n.field(1, "Status") == "2.0.0"
    assert n.field(1, "Diagnostic-Code") is None
    is_type(n, 2, "text/rfc822-headers")


def relayed(n):
    assert n.field(1, "Action") == "relayed" and n.field(1, "Status") == "2.0.0"
    is_type(n, 2, "text/rfc822-headers")


def delayed(n):
    assert n.field(1, "Action") == "delayed" and n.field(1, "Status") == "4.2.1"
    assert n.field(1, "Will-Retry-Until")
    is_type(n, 2, "text/rfc822-headers")


def eight_bit(n):
    is_type(n, 2, "message/rfc822")
    assert n.returned() == b"Subject: 8bit\r\n\r\nB\344r\r\n"


def utf8(n):
    assert n.message.get_param("report-type") == "global-delivery-status"
    is_type(n, 1, "message/global-delivery-status")
    is_type(n, 2, "message/global")
    assert "To: <s\u00f6@from.example>" in n.raw.decode()
    assert n.field(1, "Final-Recipient") == "utf-8; \u00e4@x.example"
    assert n.field(1, "Original-Recipient") == "utf-8; \\x{E4}@x.example"
    assert n.field(1, "Diagnostic-Code") == "x-demit; kein Konto f\u00fcr Sie"


def utf8_headers(n):
    is_type(n, 1, "message/global-delivery-status")
    is_type(n, 2, "message/global-headers")
    assert n.returned() == "Subject: B\u00e4r\r\n".encode()


def hostile(n):
    assert n.field(0, "Original-Envelope-Id") == "a+0D+0ASubject: owned+0D+0A+0D+0Abody"
    assert n.field(1, "Original-Recipient") == "rfc822; x+0D+0AX-Evil: yes"
    assert n.field(1, "Diagnostic-Code").split() == "smtp; 550 no X-Evil: yes body ? ??".split()


def long(n):
    assert n.field(1, "Diagnostic-Code").replace(" ", "") == "smtp;" + "x" * 4000


def empty(n):
    assert n.field(1, "Action") == "failed"


def main():
    checks = {name.replace("_", "-"): check for name, check in globals().items() if callable(check)}
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.argv[1], directory], check=True)
        paths = sorted(pathlib.Path(directory).iterdir())
        assert len(paths) == 12, paths
        for path in paths:
            notification = Notification(path)
            try:
                check_form(notification)
                checks[notification.name](notification)
            except AssertionError:
                sys.stderr.write(f"---- {notification.name}\n{notification.raw.decode(errors='replace')}\n")
                raise
            print(f"ok {notification.name}")


main()
