"""``foresight-to-lerobot CHECKPOINT FOLDER``: a Foresight checkpoint as LeRobot's folder."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.hub import fetch
from lerobot_policy_foresight.configuration_foresight import ForesightConfig
from lerobot_policy_foresight.modeling_foresight import ForesightPolicy
from lerobot_policy_foresight.processor_foresight import make_foresight_pre_post_processors


def export(checkpoint: Path | str, folder: Path | str) -> Path:
    """Write what ``--policy.path`` names: configuration, weights, processors.

    Args:
        checkpoint: folder or hub id of an action-chunk policy.
        folder: a new one, or an empty one; it appears whole or not at all.

    Raises:
        ForesightError: no such checkpoint, one of another kind or damaged, or a folder that holds
            something.
    """
    source, target = fetch(checkpoint), Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ForesightError(f"{target} holds something already: give a new folder.")
    config = ForesightConfig.of(source)
    policy = ForesightPolicy.from_pretrained(source, config=config)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        policy.save_pretrained(made)
        for processor in make_foresight_pre_post_processors(config):
            processor.save_pretrained(made)
        made.chmod(0o755)
        made.rename(target)
    except BaseException:
        shutil.rmtree(made)
        raise
    return target


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="what `foresight train --policy chunk` wrote")
    parser.add_argument("folder", help="for LeRobot's --policy.path; a new one")
    asked = parser.parse_args()
    try:
        print(f"{export(asked.checkpoint, asked.folder)}: name it with --policy.path")
    except ForesightError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
