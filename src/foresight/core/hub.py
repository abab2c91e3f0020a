"""Checkpoints by folder or by their name on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError, first_line

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
CHECKPOINT_FILES = ("*.json", "*.safetensors", "*.md")
"""What a checkpoint consists of: no pickles are fetched or sent."""


def fetch(
    name: Path | str, files: Sequence[str] = CHECKPOINT_FILES, revision: str | None = None
) -> Path:
    """The folder of a checkpoint: ``name`` itself, or what the hub has under it.

    Args:
        name: a folder, or a hub id such as ``somebody/reacher``.
        files: patterns of what to fetch; nothing else is.
        revision: branch, tag or commit on the hub.

    Raises:
        ForesightError: neither a folder nor fetchable, or ``huggingface_hub`` is missing.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ForesightError(f"{name} is a file: give the folder that holds the checkpoint.")
    if not HUB_ID.fullmatch(str(name)):
        raise ForesightError(
            f"{name} does not exist and is no hub id (OWNER/NAME) either: check the path."
        )
    hub = _hub(f"fetch {name}")
    try:
        return Path(hub.snapshot_download(str(name), allow_patterns=list(files), revision=revision))
    except Exception as error:  # http, hub and file errors of many kinds
        raise ForesightError(
            f"{name} is neither a folder here nor could it be fetched from the Hugging Face hub "
            f"({first_line(error)}): check the name and the network."
        ) from error


def push(folder: Path | str, hub_id: str, private: bool = True, message: str = "Upload") -> str:
    """Send a checkpoint folder to the hub, making the repository if need be.

    Args:
        folder: what to send; files that belong to no checkpoint stay at home.
        hub_id: OWNER/NAME.
        private: of a repository that is made; one that exists stays as it is.
        message: of the commit.

    Returns:
        The commit's address.

    Raises:
        ForesightError: no such folder, no valid name, no permission, or no network.
    """
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise ForesightError(f"{folder} holds no config.json: give the folder of a checkpoint.")
    if not HUB_ID.fullmatch(hub_id):
        raise ForesightError(f"{hub_id!r} is no hub id: write OWNER/NAME.")
    hub = _hub(f"push {folder}")
    try:
        api = hub.HfApi()
        api.create_repo(hub_id, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=hub_id,
            folder_path=folder,
            allow_patterns=list(CHECKPOINT_FILES),
            commit_message=message,
        )
    except Exception as error:  # http, hub and file errors of many kinds
        raise ForesightError(
            f"{folder} could not be sent to {hub_id} on the Hugging Face hub "
            f"({first_line(error)}): log in with `hf auth login`, and check the name and "
            "the network."
        ) from error
    return str(done.commit_url)


def _hub(purpose: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ForesightError(
            f'To {purpose}, install the hub\'s client: pip install "foresight-robotics[hub]".'
        ) from error
    return huggingface_hub
