"""The HTML page: self-contained, escaped, and really shown by a browser, videos included."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foresight.core.errors import ForesightError
from foresight.evaluation.results import Result, make_result
from foresight.report.page import (
    Plot,
    Section,
    TableBlock,
    Text,
    Video,
    result_sections,
    write_page,
    write_result_page,
)
from foresight.report.tables import Cell, Table
from foresight.report.videos import encode_mp4, side_by_side, upscale

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def example(tasks: tuple[str, ...] = ("reacher-easy",)) -> Result:
    generator = np.random.default_rng(0)
    centres = {"zero": 20, "random": 12, "constant": 24, "planner": 140, "expert": 182}
    rows: list[dict] = []
    for task in tasks:
        for condition, centre in centres.items():
            for seed in range(20):
                value = float(np.clip(centre + 25 * generator.standard_normal(), 0, 200))
                rows.append(
                    {
                        "task": task,
                        "condition": condition,
                        "seed": seed,
                        "return": value,
                        "success": value > 150,
                        "length": 200,
                        "git": "a" * 40,
                        "config_hash": "0" * 16,
                        "simulator": "mujoco 3.3.2",
                        "decision_ms": 80.0 if condition == "planner" else 0.02,
                    }
                )
    for horizon in range(1, 11):
        for replicate in range(5):
            noise = 0.02 * generator.standard_normal()
            for condition, slope in (("model", 0.05), ("persistence", 0.12)):
                rows.append(
                    {
                        "measure": "latent_error",
                        "condition": condition,
                        "horizon": horizon,
                        "task": tasks[0],
                        "value": slope * horizon + noise * horizon**0.5,
                        "episode": replicate,
                    }
                )
    return make_result("a run", {"seed": 0}, "seed200", rows, command="foresight run --task x")


def metrics() -> list[dict]:
    steps = range(0, 1000, 25)
    return [
        {
            "step": s,
            "train/loss": np.exp(-s / 200) + 0.01,
            "validation/loss": np.exp(-s / 300) + 0.1,
        }
        for s in steps
    ]


def clip(size: int = 64, length: int = 30) -> np.ndarray:
    frames = np.full((length, size, size, 3), 40, np.uint8)
    for t in range(length):
        frames[t, 10 + t : 20 + t, 20:40] = (230, 160, 40)
    return frames


def videos() -> list[Video]:
    both = side_by_side([upscale(clip(), 192), upscale(clip(32, 20), 192)])
    return [
        Video(encode_mp4(both), "planner and expert, seed 0"),
        Video(encode_mp4(upscale(clip(), 192)), "planner, seed 1"),
    ]


def full_page(path: Path, tasks: tuple[str, ...] = ("reacher-easy",)) -> Path:
    return write_result_page(path, example(tasks), metrics(), videos(), title="reacher-easy")


def browse(page: Path, folder: Path, *flags: str) -> str:
    profile = folder / "profile"
    done = subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    shutil.rmtree(profile, ignore_errors=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed (apt-get install chromium)"
)


def test_page_needs_nothing_else(tmp_path: Path) -> None:
    page = full_page(tmp_path / "sub" / "report.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:|\#)""", page)
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    outside = set(re.findall(r"https?://[\w./-]+", page))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    for words in ("reacher-easy", "Provenance", "foresight run --task x", "planner", "vs constant"):
        assert words in page
    assert page.count("<svg") == 3  # bars, horizons, curves
    assert page.count("data:video/mp4;base64,") == 2


def test_text_is_escaped_and_empty_sections_left_out(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    table = Table(hostile, (hostile,), [[Cell(hostile)]], note=hostile)
    sections = [
        Section(hostile, [Text(hostile), TableBlock(table), TableBlock(table, folded=True)]),
        Section("Nothing here", []),
    ]
    page = write_page(tmp_path / "page.html", hostile, sections, lead=hostile).read_text()
    assert hostile not in page
    assert page.count("&lt;script&gt;alert") >= 10
    assert "Nothing here" not in page


def test_a_page_of_measurements_alone(tmp_path: Path) -> None:
    result = make_result("speed", {}, "none", [{"measure": "fps", "value": 3.0}])
    page = write_result_page(tmp_path / "page.html", result).read_text()
    assert "fps" in page and "<video" not in page.split("<script>")[0]
    assert [section.title for section in result_sections(result)] == ["Measurements", "Provenance"]


def test_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ForesightError, match="Cannot write"):
        write_page(tmp_path / "file" / "sub" / "page.html", "x", [])


@needs_chromium
def test_browser_shows_everything(tmp_path: Path) -> None:
    page = full_page(tmp_path / "report.html")
    document = browse(page, tmp_path, "--dump-dom")
    assert 'data-videos="2/2"' in document
    assert "cannot play" not in document.split("<script>", maxsplit=1)[0]
    assert re.findall("<h2>(.*?)</h2>", document) == [
        "Results",
        "Episodes on film",
        "Imagination: error per horizon",
        "Learning curves",
        "Measurements",
        "Provenance",
    ]


@needs_chromium
def test_browser_names_a_video_it_cannot_play(tmp_path: Path) -> None:
    broken = [Section("Film", [Video(b"no video at all")])]
    page = write_page(tmp_path / "page.html", "x", broken)
    document = browse(page, tmp_path, "--dump-dom")
    assert 'data-videos="0/1"' in document
    assert document.count("cannot play H.264") == 2  # in the script and below the film


@needs_chromium
def test_screenshot_is_not_blank(tmp_path: Path) -> None:
    page = full_page(tmp_path / "report.html")
    shot = tmp_path / "shot.png"
    for _ in range(5):  # on a busy machine a shot may be taken before the film is decoded
        browse(page, tmp_path, f"--screenshot={shot}", "--window-size=1200,2600")
        picture = np.asarray(Image.open(shot).convert("RGB")).astype(int)
        near = {  # the planner's bar and the film's moving block
            name: (np.abs(picture - np.array(colour)).sum(-1) < 40).sum()
            for name, colour in {"bar": (42, 120, 214), "film": (230, 160, 40)}.items()
        }
        if near["film"] > 500:
            break
    assert near["bar"] > 2_000 and near["film"] > 500, near
    assert picture.shape == (2600, 1200, 3)
    background = picture[2, 2]
    filled = (np.abs(picture - background).sum(-1) > 60).mean(axis=1)
    assert (filled > 0).mean() > 0.4  # rows of pixels that hold something


def test_plot_caption_and_svg_are_kept(tmp_path: Path) -> None:
    section = Section("Plot", [Plot('<svg id="mine"></svg>', "what it shows")])
    page = write_page(tmp_path / "page.html", "x", [section]).read_text()
    assert '<svg id="mine"></svg><figcaption>what it shows</figcaption>' in page
