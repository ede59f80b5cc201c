"""What is measured, and what demitd is to reach: the rows of the table, as data."""

import dataclasses

KIB = 1024
# The servers that people run today; "best" among them is whoever is fastest in a round.
PEERS = ("postfix", "exim", "opensmtpd")
KINDS = ("acceptance", "relaying", "memory", "start", "syncs")


@dataclasses.dataclass(frozen=True)
class Row:
    """One measurement, done for every server in every round."""

    key: str
    kind: str
    sessions: int = 0
    size_bytes: int = 0
    many: bool = True
    messages: int = 0

    def pace(self):
        """Which of a server's paces says how many messages it is given."""
        if self.kind == "acceptance":
            return "many" if self.many else "one"
        return self.kind

    def load(self):
        connection = "many messages per connection" if self.many else "one message per connection"
        sessions = "1 session" if self.sessions == 1 else f"{self.sessions} sessions"
        return f"{self.size_bytes // KIB} KiB, {connection}, {sessions}"


@dataclasses.dataclass(frozen=True)
class Goal:
    """FACTOR times what AGAINST reaches in the same round or, without AGAINST, that figure itself."""

    factor: float
    against: str = ""


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table: FIELD of the figures of the row KEY, multiplied by SCALE."""

    title: str
    key: str
    field: str
    unit: str = ""
    more_is_better: bool = True
    scale: float = 1.0
    digits: int = 0
    goals: tuple = ()
    against: tuple = ()  # whom to compare with where there is no goal


def _acceptance():
    """Every combination; a row is named after its load, as in accept-20-1k-many."""
    for sessions in (20, 100, 1):
        for many in (True, False):
            for kib, messages in ((1, 10000), (10, 5000), (100, 1500)):
                messages //= (1 if many else 3) * (4 if sessions == 1 else 1)
                key = f"accept-{sessions}-{kib}k-{'many' if many else 'one'}"
                yield Row(key, "acceptance", sessions, kib * KIB, many, messages)


ROWS = (
    *_acceptance(),
    Row("relay-20-1k", "relaying", 20, KIB, True, 3000),
    Row("memory", "memory"),
    Row("start", "start"),
    Row("syncs-20", "syncs", 20, KIB, True, 400),
    Row("syncs-1", "syncs", 1, KIB, True, 100),
)

GOALS = {
    "accept-20-1k-many": (Goal(4, "exim"), Goal(0.5, "smtp-sink")),
    "accept-100-1k-many": (Goal(4, "best"), Goal(0.5, "smtp-sink")),
    "accept-1-1k-many": (Goal(2.5, "postfix"),),
    "accept-20-1k-one": (Goal(3, "postfix"), Goal(0.6, "smtp-sink")),
    "accept-20-100k-many": (Goal(1.4, "exim"), Goal(0.7, "smtp-sink")),
    "relay-20-1k": (Goal(6, "postfix"),),
}


def _lines():
    for row in ROWS:
        if row.kind == "acceptance":
            yield Line(f"accepted: {row.load()}", row.key, "per_s", "/s", goals=GOALS.get(row.key, ()), against=("best", "smtp-sink"))
        elif row.kind == "relaying":
            yield Line(f"relayed to smtp-sink: {row.load()}", row.key, "per_s", "/s", goals=GOALS[row.key])
        elif row.kind == "syncs":
            yield Line(f"syncs per message: {row.load()}", row.key, "per_message", digits=2, more_is_better=False)
    cpu = "accept-20-1k-many"
    yield Line("CPU per 1,000 messages accepted (the first line's)", cpu, "cpu_s_per_1000", "s", False, digits=3, goals=(Goal(0.10),))
    yield Line("memory per idle connection (PSS), no TLS", "memory", "bytes", "KiB", False, 1 / KIB, 1, (Goal(6),))
    yield Line("exec to the first 220", "start", "ms", "ms", False, digits=1, goals=(Goal(10),))


LINES = tuple(_lines())
QUICK = tuple(GOALS) + ("memory", "start", "syncs-20", "syncs-1")
