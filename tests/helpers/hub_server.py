"""A stand-in for the Hugging Face hub's API on this machine: repositories in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse


class HubServer(ThreadingHTTPServer):
    """Holds what was sent: ``files[repository][path]`` and ``private[repository]``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.blobs: dict[str, bytes] = {}
        self.refuse = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlparse(self.path).path
        if self.server.refuse or not self.headers.get("Authorization"):
            return self.answer({"error": "who are you?"}, 401)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            if name in self.server.files:
                return self.answer({"url": f"{self.server.url}/{name}"}, 409)
            self.server.files[name] = {}
            self.server.private[name] = asked.get("visibility") == "private"
            return self.answer({"url": f"{self.server.url}/{name}", "name": name, "id": name})
        if "/preupload/" in path:
            asked = json.loads(body)["files"]
            kinds = [
                {"path": f["path"], "uploadMode": mode_of(f["path"]), "shouldIgnore": False}
                for f in asked
            ]
            return self.answer({"files": kinds})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    "oid": each["oid"],
                    "size": each["size"],
                    "actions": {"upload": {"href": f"{self.server.url}/blob/{each['oid']}"}},
                }
                for each in json.loads(body)["objects"]
            ]
            return self.answer({"transfer": "basic", "objects": objects})
        name = path.removeprefix("/api/models/").split("/commit/")[0]
        return self.commit(name, body)

    def commit(self, name: str, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.server.files[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[name][value["path"]] = self.server.blobs[value["oid"]]
        self.answer({"commitUrl": f"{self.server.url}/{name}/commit/{SHA}", "commitOid": SHA})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.blobs[self.path.rpartition("/")[2]] = body
        self.answer({})

    def do_GET(self) -> None:
        path = urlparse(self.path).path
        if path.startswith("/api/models/"):
            name = "/".join(path.removeprefix("/api/models/").split("/")[:2])
            if name not in self.server.files:
                return self.answer({"error": "Repository not found"}, 404, "RepoNotFound")
            if "/tree/" in path:
                found = [
                    {"type": "file", "path": p, "size": len(data), "oid": SHA}
                    for p, data in self.server.files[name].items()
                ]
                return self.answer(found)  # type: ignore[arg-type]
            siblings = [{"rfilename": p} for p in self.server.files[name]]
            return self.answer({"id": name, "sha": SHA, "siblings": siblings, "private": True})
        name, _, rest = path.strip("/").partition("/resolve/")
        data = self.server.files.get(name, {}).get(rest.partition("/")[2])
        if data is None:
            return self.answer({"error": "Entry not found"}, 404, "EntryNotFound")
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Repo-Commit", SHA)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
        return None

    do_HEAD = do_GET

    def answer(self, value: dict, status: int = 200, code: str | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


SHA = "a" * 40


def mode_of(path: str) -> str:
    """Large binary files take their own way, as on the real hub."""
    return "lfs" if path.endswith(".safetensors") else "regular"


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running stand-in."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
