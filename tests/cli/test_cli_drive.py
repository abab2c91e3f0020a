"""``foresight drive`` and ``foresight serve`` as a user types them."""

import json

from foresight.cli import main


def test_a_drive_tells_ticks_and_episodes(tmp_path, capsys):
    out = tmp_path / "drive.json"
    words = ["drive", "ar1:0.9", "--env", "fake_robot:FakeRobot", "--rate", "50"]
    assert main([*words, "--seconds", "1", "--warm-up", "0.1", "--out", str(out)]) == 0
    told = json.loads(out.read_text())
    assert told["ticks"] == told["decisions"] + told["held"] == 45
    assert len(told["returns"]) >= 1
    printed = capsys.readouterr().out
    assert "45 ticks at 50 Hz" in printed
    assert "mean return" in printed


def test_mistakes_are_sentences(capsys):
    robot = ["--env", "fake_robot:FakeRobot"]
    assert main(["drive", "random", *robot, "--rate", "0"]) == 2
    assert "give more than 0" in capsys.readouterr().err
    assert main(["drive", "remote:localhost", *robot]) == 2
    assert "write remote:ws://HOST:PORT" in capsys.readouterr().err
    for verb in ("drive", "serve"):
        assert main([verb, "random", *robot, "--compensate", "2"]) == 2
        assert "random has no world model to roll" in capsys.readouterr().err
        assert main([verb, "random", *robot, "--adapt", "rls"]) == 2
        assert "random has no world model of" in capsys.readouterr().err
    assert main(["serve", "random"]) == 2
    assert "--env" in capsys.readouterr().err
    assert main(["serve", "random", *robot, "--port", "99999999"]) == 2
    assert "another --port" in capsys.readouterr().err
