#!/usr/bin/env python3
"""coverage.py DIR LIST: what the programs built under DIR have run of runtime/ and kernel_if/.

Prints a table of lines and branches per file, and holds what was not run against LIST (coverage_gaps, which says what an
entry looks like): how much is named there, by reason; what is not named; entries that no longer name a gap, or a line.  Read is
gcov's own output.  The status is 1 where a gap has no reason there, or nothing was counted.

A gap is a line that never ran, or a line of whose branches some were never taken.  Branches that only an exception takes
are not counted.  A template, and an inline function that the compiler put into its callers, is many functions for gcov:
here a branch is run if one of them ran it, and those that never ran at all do not count beside one that did.
"""
import collections
import fnmatch
import json
import os
import re
import subprocess
import sys

FOLDERS = ("runtime/", "kernel_if/")


class Entry:
    def __init__(self, where, line, reason):
        self.where, self.reason, self.used = where, reason, False
        self.file, _, text = line.partition(": ")
        self.run = text.startswith("+ ")
        self.text = text.removeprefix("+ ")
        self.ran = self.text.startswith("% ")
        self.pattern = re.compile(self.text[2:]) if self.text.startswith(("~ ", "% ")) else None

    def matches(self, gap):
        if not fnmatch.fnmatch(gap.file, self.file) or (self.ran and gap.never):
            return False
        if not self.pattern:
            return gap.text == self.text
        return bool(self.pattern.search(gap.text.partition("  // ")[0] if self.ran else gap.text))


class Reason:
    def __init__(self, text):
        self.sometimes = text.startswith("? ")
        self.text = text.removeprefix("? ")
        self.lines = self.branches = 0


class Line:
    def __init__(self, file, number, text, copies):
        self.file, self.number, self.text, self.entry = file, number, text, None
        ran = [branches for count, branches in copies if count]
        self.never = not ran
        taken = {}  # of the copies with the same number of branches: was each taken?
        for branches in ran or [branches for _, branches in copies]:
            old = taken.setdefault(len(branches), [0] * len(branches))
            taken[len(branches)] = [a or b for a, b in zip(old, branches)]
        # A copy that lacks some, or has some twice, says nothing that another does not: the one most fully run speaks.
        best = max(taken.values(), key=lambda b: (sum(map(bool, b)) / len(b) if b else 0, len(b)))
        self.of, self.missed = len(best), sum(not b for b in best)

    def is_gap(self):
        return self.never or self.missed > 0

    def __str__(self):
        what = "never" if self.never else f"{self.missed} of {self.of} branches"
        return f"{self.file}:{self.number}: {self.text}  [{what}]"


def read_list(path):
    reasons, entries, open_reason = [], [], None
    for n, line in enumerate(open(path, encoding="utf-8"), 1):
        line = line.strip()
        if open_reason is not None or line.startswith("["):
            open_reason = f"{open_reason} {line}" if open_reason else line
            if line.endswith("]"):
                reasons.append(Reason(open_reason[1:-1]))
                open_reason = None
        elif line and not line.startswith("#"):
            entries.append(Entry(f"{path}:{n}", line, reasons[-1]))
    return reasons, entries


def read_counters(folder):
    """(file, line) -> function -> [count, [branch, ...]], each summed over the objects that have the function."""
    seen = collections.defaultdict(dict)
    for at, _, names in os.walk(folder):
        for name in sorted(n for n in names if n.endswith(".gcda")):
            gcov = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", os.path.join(at, name)],
                                  stdout=subprocess.PIPE)
            for f in json.loads(gcov.stdout)["files"] if gcov.returncode == 0 else []:  # else: counters of an older build
                file = os.path.relpath(f["file"])
                if file.startswith(FOLDERS):
                    for line in f["lines"]:
                        add(seen[file, line["line_number"]], line)
    return seen


def add(functions, line):
    branches = [b["count"] for b in line["branches"] if not b["throw"]]
    key = line.get("function_name", ""), len(branches)
    count, old = functions.get(key, (0, [0] * len(branches)))
    functions[key] = count + line["count"], [a + b for a, b in zip(old, branches)]


def read_lines(folder):
    files = collections.defaultdict(list)
    sources = {}
    for (file, number), functions in sorted(read_counters(folder).items()):
        if file not in sources:
            sources[file] = [s.strip() for s in open(file, encoding="utf-8")]
        files[file].append(Line(file, number, sources[file][number - 1], list(functions.values())))
    return files


def alternatives(regexp):
    """What stands between the outermost |s."""
    parts, depth, escaped = [""], 0, False
    for c in regexp:
        if not escaped:
            depth += (c in "([") - (c in ")]")
        if c == "|" and depth == 0 and not escaped:
            parts.append("")
            continue
        escaped = c == "\\" and not escaped
        parts[-1] += c
    return parts


def without_a_line(entries):
    """Entries, and alternatives of their patterns, that name no line of their files, run or not."""
    lines = {}
    for folder in FOLDERS:
        for at, _, names in os.walk(folder):
            for name in (os.path.join(at, n) for n in names if n.endswith((".cc", ".h"))):
                lines[name] = [s.strip() for s in open(name, encoding="utf-8")]
    for e in entries:
        mine = [l for name, ls in lines.items() if fnmatch.fnmatch(name, e.file) for l in ls]
        if not e.pattern:
            if e.text not in mine:
                yield e, e.text
            continue
        for a in alternatives(e.text[2:]):
            if not any(re.search(a, l) for l in mine):
                yield e, a


def percent(part, of):
    return f"{100 * part / of:5.1f} %" if of else "      -"


def put_row(name, lines):
    ran = sum(not l.never for l in lines)
    of, taken = sum(l.of for l in lines), sum(l.of - l.missed for l in lines)
    print(f"{name:44} {ran:5} / {len(lines):5} {percent(ran, len(lines))}   {taken:5} / {of:5} {percent(taken, of)}")


def name_gaps(files, entries):
    """The entry of each gap, from the list or from the run of lines before it."""
    for lines in files.values():
        before = None
        for line in lines:
            if line.is_gap():
                matching = [e for e in entries if e.matches(line)]
                for e in matching:
                    e.used = True
                line.entry = before if before and line.never else matching[0] if matching else None
            before = line.entry if line.entry and line.entry.run else None


def put_count(title, lines, tail=""):
    print(f"{title:9} {sum(l.never for l in lines):5} lines {sum(l.missed for l in lines):5} branches{tail}")


def main(folder, list_path):
    files = read_lines(folder)
    everything = [l for lines in files.values() for l in lines]
    print(f"{'file':44} {'lines':>21}   {'branches':>21}")
    for file, lines in files.items():
        put_row(file, lines)
    put_row("all", everything)
    reasons, entries = read_list(list_path)
    name_gaps(files, entries)
    gaps = [l for l in everything if l.is_gap()]
    unnamed = [l for l in gaps if not l.entry]
    print()
    put_count("not run", gaps)
    put_count("named", [l for l in gaps if l.entry], f"  in {list_path}:")
    for r in reasons:
        mine = [l for l in gaps if l.entry and l.entry.reason is r]
        if mine:
            put_count("", mine, "  " + r.text)
    put_count("not named", unnamed)
    for l in unnamed:
        print("  " + str(l))
    gone = list(without_a_line(entries))
    stale = [(e, e.text) for e in entries if not e.used and not e.reason.sometimes and not any(e is g for g, _ in gone)]
    for what, which in ("gap any more", stale), ("line", gone):
        if which:
            print(f"entries that name no {what}:")
        for e, text in which:
            print(f"  {e.where}: {e.file}: {text}")
    return 0 if everything and not unnamed else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
