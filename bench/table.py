"""
From figures to the table: medians, ratios within a round, goals.

`results` is, by the key of a row and the name of a server, a list with the figures of each round: a dictionary, or None
where a measurement failed. A ratio compares two servers in the same round only, since between rounds the machine may have
had other work; what is shown is the median of the rounds' ratios, and their range.
"""

import re
import statistics

from plan import LINES, PEERS

NAMES = {"demitd": "demitd", "postfix": "Postfix", "exim": "Exim", "opensmtpd": "OpenSMTPD", "smtp-sink": "smtp-sink"}
COLUMNS = ("postfix", "exim", "opensmtpd", "smtp-sink", "demitd")
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def series(results, line, name):
    """The figures of NAME for LINE, by round; None where there is none."""
    rounds = results.get(line.key, {}).get(name, [])
    return [None if figures is None else figures[line.field] * line.scale for figures in rounds]


def best(columns, more_is_better):
    """Of several series the best figure of each round."""
    choose = max if more_is_better else min
    rounds = []
    for figures in zip(*columns):
        known = [figure for figure in figures if figure is not None]
        rounds.append(choose(known) if known else None)
    return rounds


def against(results, line, name):
    if name == "best":
        columns = [series(results, line, peer) for peer in PEERS]
        return best([column for column in columns if column], line.more_is_better)
    return series(results, line, name)


def ratios(ours, theirs):
    """Ours through theirs, of the rounds that have both."""
    return [a / b for a, b in zip(ours, theirs) if a is not None and b]


def known(figures):
    return [figure for figure in figures if figure is not None]


def number(value, digits):
    return f"{value:,.{digits}f}"


def ratio(value):
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def ratio_range(values):
    """The median, and from where to where the rounds went."""
    text = ratio(statistics.median(values))
    return text if len(values) < 2 else f"{text} ({ratio(min(values))}–{ratio(max(values))})"


def figure(results, line, name):
    """What stands in the column of NAME."""
    rounds = results.get(line.key, {}).get(name)
    if not rounds:
        return "–"
    values = known(series(results, line, name))
    return number(statistics.median(values), line.digits) + (f" {line.unit}" if line.unit else "") if values else "failed"


def compare(results, line):
    """How demitd stands against others, for people."""
    ours = series(results, line, "demitd")
    names = [goal.against for goal in line.goals if goal.against] or list(line.against)
    found = []
    for name in names:
        values = ratios(ours, against(results, line, name))
        if values:
            found.append(f"{ratio_range(values)} × {'the best' if name == 'best' else NAMES[name]}")
    return "; ".join(found)


def judge(results, line, goal):
    """Whether GOAL is met; None if there is nothing to judge by."""
    ours = series(results, line, "demitd")
    values = ratios(ours, against(results, line, goal.against)) if goal.against else known(ours)
    if not values:
        return None
    median = statistics.median(values)
    return median >= goal.factor if line.more_is_better else median <= goal.factor


def goal_words(line, goal):
    sign = "≥" if line.more_is_better else "≤"
    if not goal.against:
        return f"{sign} {goal.factor:g} {line.unit}".strip()
    return f"{sign} {goal.factor:g} × {'the best' if goal.against == 'best' else NAMES[goal.against]}"


def judged(results, line):
    words = {True: "met", False: "MISSED", None: "not judged"}
    return "; ".join(f"{goal_words(line, goal)}: {words[judge(results, line, goal)]}" for goal in line.goals)


def rows(results, lines=LINES):
    """The cells of the table, a list for each line that was measured; goals first."""
    measured = [line for line in lines if results.get(line.key)]
    for line in sorted(measured, key=lambda line: not line.goals):
        yield [line.title, *(figure(results, line, name) for name in COLUMNS), compare(results, line), judged(results, line)]


HEAD = ["what", *(NAMES[name] for name in COLUMNS), "demitd is, median (range of the rounds)", "goal"]


def markdown(results, about):
    lines = [*(f"- {key}: {value}" for key, value in about), "", "| " + " | ".join(HEAD) + " |", "| " + " | ".join("---" for _ in HEAD) + " |"]
    lines += ["| " + " | ".join(cell or " " for cell in row) + " |" for row in rows(results)]
    return "\n".join(lines) + "\n"


def text(results, about):
    """The same for a terminal: what was compared stands below the figures."""
    lines = [f"{key}: {value}" for key, value in about]
    for row in rows(results):
        lines += ["", row[0]]
        lines.append("    " + "   ".join(f"{head} {cell}" for head, cell in zip(HEAD[1:6], row[1:6]) if cell != "–"))
        lines += [f"    demitd is {row[6]}"] if row[6] else []
        lines += [f"    goal {row[7]}"] if row[7] else []
    return "\n".join(lines) + "\n"


def replaced(page, table):
    """PAGE with TABLE between its two marks."""
    found = re.subn(rf"(?s){re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n{table}{END}", page)
    if found[1] != 1:
        raise ValueError(f"there is no place between {BEGIN} and {END}")
    return found[0]
