"""Rules for every file of the tree, whatever its language. Each takes a `Tree` and yields what breaks it.

Forbidden texts are written here in parts, so that this file obeys its own rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.tidy.tree import Finding, Source, Tree

README_LINES_MAX = 60  # purpose, contracts, pitfalls; the rest belongs to docs/
_NUMBERED_PAGE = re.compile(r"\| \[\d{4}\]\(\d{4}-[a-z-]+\.md\) \|")  # a row of an index, which grows with its pages
NO_READERS = {".ci"}  # a top folder with a single file that the README names

_HOST_PARTS = ("pypi" + r"\.org", "python" + "hosted", "npm" + r"js\.(?:org|com)", "yarn" + r"pkg", "artif" + "actory")
_OPTIONS = ("index" + "[-_]url", "extra" + "[-_]index", "find" + "[-_]links", "trusted" + "[-_]host")
FORBIDDEN = (
    ("an address of a package index", re.compile("|".join(_HOST_PARTS), re.IGNORECASE)),
    ("an option that names a package index", re.compile(f"(?<!no-emit-)(?:{'|'.join(_OPTIONS)})", re.IGNORECASE)),
    ("an address recorded by a package lock", re.compile('"resol' + 'ved"')),
    ("a path of one machine", re.compile(r"(?<![\w.~}$*-])/(?:ro" + "ot|wo" + "rk|fa" + "rm|Us" + r"ers/\w+)/")),
    ("a private key", re.compile("BEGIN " + r"(?:[A-Z0-9]+ )*PRIVATE KEY")),
    ("a cloud access key", re.compile(r"\b(?:AK" + "IA|AS" + r"IA)[A-Z0-9]{16}\b")),
    ("a storage account key", re.compile(r"Account" + r"Key=[A-Za-z0-9+/]{40}")),
    ("a token", re.compile(r"\b(?:gh" + r"[pousr]_[A-Za-z0-9]{30}|AI" + r"za[A-Za-z0-9_-]{30}|xox" + r"[bp]-\d)")),
    (
        "a password in an address",
        re.compile(r"[a-z]+://[A-Za-z0-9_.-]+:(?!password|PASSWORD|secret|\.\.\.)[A-Za-z0-9]{8,}@"),
    ),
    ("work left undone", re.compile(r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X)\b")),
)

# American spelling everywhere, as the standard library has it; parts of words, whole stems only.
_BRITISH = (
    "behav" + "iour", "col" + "our", "fav" + "our", "hon" + "our", "neighb" + "our", "lab" + "our", "cent" + "re",
    "cata" + "logue", "arte" + "fact", "whil" + "st", "lic" + "ence", "defen" + "ce", "offen" + "ce",
    "model" + "ling", "trave" + "lled", "gr" + "ey", "judge" + "ment",
)  # fmt: skip
_STEMS = (
    "organ", "initial", "serial", "normal", "synchron", "recogn", "summar", "optim", "minim", "maxim", "author",
    "parametr", "final", "general", "material", "real", "visual", "util", "prior", "custom", "canonical", "local",
)  # fmt: skip
BRITISH = re.compile(
    rf"(?i)(?<![a-z])(?:(?:un)?(?:{'|'.join(_BRITISH)})|(?:re|de|un)?(?:{'|'.join(_STEMS)})(?:is)(?:e[drs]?|ing|ation)\b)"
)

_LINK = re.compile(
    r"(?<!\\)!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|<img[^>]*\bsrc=\"([^\"]+)\"|srcset=\"([^\"]+)\""
)
_MENTION = re.compile(r"(?<![\w/-])docs/[\w./-]+\.(?:md|svg|png|json)\b")
_EVIDENCE = re.compile(r"`((?:unit|attacks|models|end_to_end|contract|faults|property|golden|simulation)/[\w/]+\.py)")
_MODULE = re.compile(rf"{_MENTION.pattern}|(?<![\w/-])(?:farshore|tests|flows|tasks|infra)/[\w/]+\.py\b")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


def forbidden_texts(tree: Tree) -> Iterator[Finding]:
    for file in tree.files:
        for what, pattern in FORBIDDEN:
            for match in pattern.finditer(file.text):
                yield file.at(_line(file.text, match.start()), what)


def british_spelling(tree: Tree) -> Iterator[Finding]:
    """One spelling, or a search for a word finds half of its places."""
    for file in tree.files:
        if file.path != "LICENSE" and not file.path.endswith(".lock"):
            for match in BRITISH.finditer(file.text):
                yield file.at(_line(file.text, match.start()), f"{match.group()!r} is spelled the American way here")


def dead_links(tree: Tree) -> Iterator[Finding]:
    """Every relative link in a Markdown page leads to a file of the tree, and its anchor to a heading."""
    pages = {file.path: file for file in tree.files if file.path.endswith(".md")}
    for file in pages.values():
        prose = _FENCE.sub(lambda fence: "\n" * fence.group().count("\n"), file.text)
        for match in _LINK.finditer(prose):
            link = next(group for group in match.groups() if group)
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            target, _, anchor = link.partition("#")
            path = _resolve(file.path, target) if target else file.path
            line = _line(prose, match.start())
            if path not in tree and not any(known.path.startswith(f"{path.rstrip('/')}/") for known in tree.files):
                yield file.at(line, f"link to {link}, which is not there")
            elif anchor and path in pages and anchor not in _anchors(pages[path]):
                yield file.at(line, f"link to {link}, which has no such heading")


def dead_mentions(tree: Tree) -> Iterator[Finding]:
    """A page that a hint, a docstring or a comment names by its path is there; so is a module that a page names."""
    for file in tree.files:
        if not file.path.startswith("tests/tidy/"):  # which plant pages of their own
            for match in (_MODULE if file.path.endswith(".md") else _MENTION).finditer(file.text):
                if match.group() not in tree:
                    yield file.at(_line(file.text, match.start()), f"{match.group()} is not there")


def missing_evidence(tree: Tree) -> Iterator[Finding]:
    """Each test by which SECURITY.md shows what a thief cannot do is there, and has tests that run."""
    for file in tree.files:
        if file.path == "SECURITY.md":
            texts = {one.path: one.text for one in tree.files}
            for match in _EVIDENCE.finditer(file.text):
                if not re.search(r"^def test_", texts.get(f"tests/{match.group(1)}", ""), re.MULTILINE):
                    yield file.at(_line(file.text, match.start()), f"tests/{match.group(1)} has no test")


def unlisted_pages(tree: Tree) -> Iterator[Finding]:
    """A page that no index names is read by nobody: docs/README.md, or the README of the page's own folder."""
    texts = {file.path: file.text for file in tree.files if re.fullmatch(r"docs/(?:.+/)?README\.md", file.path)}
    for file in tree.files:
        if not re.fullmatch(r"docs/.+\.md", file.path) or file.path == "docs/README.md":
            continue
        folder, name = file.path.rsplit("/", 1)
        listed = f"({file.path.removeprefix('docs/')})" in texts.get("docs/README.md", "")
        if not listed and (name == "README.md" or f"({name})" not in texts.get(f"{folder}/README.md", "")):
            yield file.at(1, "neither docs/README.md nor the README of its folder lists this page")


def missing_readmes(tree: Tree) -> Iterator[Finding]:
    tops = {file.path.split("/", 1)[0] for file in tree.files if "/" in file.path} - NO_READERS
    for top in sorted(tops):
        if f"{top}/README.md" not in tree:
            yield Finding(top, 1, "a top folder needs a README.md: purpose, contracts, pitfalls")
    for file in tree.files:
        lines = sum(not _NUMBERED_PAGE.match(line) for line in file.text.splitlines())
        if re.fullmatch(r".+/README\.md", file.path) and lines >= README_LINES_MAX:
            yield file.at(README_LINES_MAX, f"{lines} lines; a folder's README stays under {README_LINES_MAX}")


def _resolve(page: str, target: str) -> str:
    parts = [] if target.startswith("/") else page.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _anchors(page: Source) -> set[str]:
    """Return the anchors of a page as GitHub makes them from headings."""
    prose = _FENCE.sub("", page.text)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose))
    return {*plain, *_ANCHOR.findall(prose)}


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


RULES = (
    forbidden_texts,
    british_spelling,
    dead_links,
    dead_mentions,
    missing_evidence,
    unlisted_pages,
    missing_readmes,
)
