"""What mkdocs can't do by itself: pages that quote and show files of the repository outside docs/.

A link of a page to `../FILE` works where the repository is read, on a code host say, and here: the file is
copied into the site. `<!-- include ../FILE.md#Heading -->` becomes the text below that heading of FILE.md, up
to its next heading of any level, with links to other files of the repository as their names alone; with
`include code of` it is the code there and nothing else.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"\]\(\.\./([^)#\s]+)\)")
INCLUDE = re.compile(r"^<!-- include (code of )?\.\./([^#]+)#(.+?) -->$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[([^]]+)\]\((?!https?:)[^)]+\)")
COPIES = "files"


def included(text: str) -> str:
    """Returns a page's text with what it includes in its place."""

    def replacement(found: re.Match[str]) -> str:
        text = body(ROOT / found[2], found[3])
        return "\n\n".join(CODE.findall(text)) if found[1] else text

    return INCLUDE.sub(replacement, text)


def body(file: Path, heading: str) -> str:
    """Returns what stands below a heading of a Markdown file, up to the next heading."""
    lines = file.read_text(encoding="utf-8").splitlines()
    starts = [i for i, line in enumerate(lines) if line.lstrip("#") == f" {heading}"]
    if len(starts) != 1:
        raise ValueError(f"{file} has {len(starts)} headings {heading!r}")
    rest = lines[starts[0] + 1 :]
    end = next((i for i, line in enumerate(rest) if re.match(r"#+ ", line)), len(rest))
    return LINK.sub(r"`\1`", "\n".join(rest[:end]).strip())


def on_files(files: Any, config: Any) -> Any:
    """Adds to the site what its pages link to outside docs/."""
    from mkdocs.structure.files import File, InclusionLevel

    pages = [Path(config.docs_dir, page.src_uri) for page in files.documentation_pages()]
    linked = {name for page in pages for name in OUTSIDE.findall(page.read_text(encoding="utf-8"))}
    for name in sorted(linked):
        copy = File.generated(
            config, f"{COPIES}/{name}", abs_src_path=str(ROOT / name), inclusion=InclusionLevel.NOT_IN_NAV
        )
        files.append(copy)
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts in what a page includes, and leads its links to the copies."""
    return OUTSIDE.sub(rf"]({COPIES}/\1)", included(markdown))
