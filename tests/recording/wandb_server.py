"""A W&B server on loopback: as much of its protocol as a run, `wandb sync` and a dashboard need. The client is W&B's.

    with WandbServer() as server:
        command("train.py", …, **server.environment)
    (run,) = server.runs.values()

It knows one account, `lab`, with the key KEY, and remembers what it is sent. What it does not know it refuses, and
`unknown` has it.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from wandb_answers import ANSWERS

KEY = "local-" + "recognisable0secret0key0of0a0test0run000"  # 40 characters after the dash
HISTORY, SUMMARY = "wandb-history.jsonl", "wandb-summary.json"


@dataclass
class RunSent:
    """What was sent of one run.

    fields: of the last UpsertBucket that had them. lines: by the name of the streamed file, the lines by their number.
    doubled: history lines that were sent again with other contents. files: what was uploaded, by name.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, dict[int, str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None
    preempting: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """Without W&B's own part."""
        sent = json.loads(self.fields.get("config") or "{}")
        return {key: value["value"] for key, value in sent.items() if key != "_wandb"}

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """How each metric is to be drawn. W&B sends the fields by their numbers: 1 is its name, 2 a pattern of names,
        5 the number of its axis, counted from 1."""
        return {metric.get("1") or metric.get("2"): metric for metric in self._metrics}

    @property
    def _metrics(self) -> list[dict[str, Any]]:
        return json.loads(self.fields.get("config") or "{}").get("_wandb", {}).get("value", {}).get("m", [])

    def step_metric(self, name: str) -> str:
        return self._metrics[self.metrics[name]["5"] - 1]["1"]

    @property
    def history_lines(self) -> list[str]:
        return [line for _, line in sorted(self.lines.get(HISTORY, {}).items())]

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.history_lines]

    @property
    def epochs(self) -> list[int]:
        """Of the rows that are an epoch's."""
        return [int(row["epoch"]) for row in self.history if "train/loss" in row]

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.lines.get(SUMMARY, {}).get(0, "{}"))


class WandbServer(ThreadingHTTPServer):
    """projects: names. runs, and views, which are workspaces and reports: by id. artifacts: by id, with their files.
    asked: names and variables of the queries, in order. keys: that requests came with; only KEY is let in. unknown:
    queries without an answer. goes_after: once it has so many lines of history it answers nobody, and is gone."""

    daemon_threads = True

    def __init__(self, goes_after: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.goes_after, self.gone = goes_after, threading.Event()
        self.projects: set[str] = set()
        self.runs: dict[str, RunSent] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.keys: set[str] = set()
        self.unknown: list[str] = []
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        return {"WANDB_BASE_URL": self.address, "WANDB_API_KEY": KEY}

    def __enter__(self) -> WandbServer:
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *ended: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *of_request: object) -> None:
        """A client that ends lets go of its connections."""

    def run_named(self, name: str) -> RunSent:
        return self.runs.setdefault(name, RunSent())

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL query. Raises KeyError for one that it does not know."""
        (name,) = re.findall(r"(?:query|mutation)\s+(\w+)", query)[:1] or [""]
        self.asked.append((name, given))
        if name not in ANSWERS:
            self.unknown.append(query)
        return ANSWERS[name](self, given)

    def stream(self, run: RunSent, sent: dict[str, Any]) -> None:
        for file, chunk in (sent.get("files") or {}).items():
            lines = run.lines.setdefault(file, {})
            lines.update(enumerate(chunk["content"], chunk.get("offset", 0)))
        run.preempting = run.preempting or bool(sent.get("preempting"))
        if sent.get("complete"):
            run.exit_code = sent.get("exitcode")
        if self.goes_after is not None and len(run.lines.get(HISTORY, {})) >= self.goes_after:
            self.gone.set()


class Handler(BaseHTTPRequestHandler):
    """/graphql, …/file_stream, and PUT for uploads."""

    server: WandbServer
    protocol_version = "HTTP/1.1"

    def parse_request(self) -> bool:
        """False: there is no answer, and the connection breaks."""
        return super().parse_request() and not self.server.gone.is_set()

    def do_POST(self) -> None:
        body = self.body()
        if self.path.startswith("/sdk/otel/"):  # its makers' own measurements
            return self.reply({})
        login = self.headers.get("Authorization", "")
        key = base64.b64decode(login.removeprefix("Basic ")).decode().partition(":")[2]
        self.server.keys.add(key)
        if key != KEY:
            return self.reply({"errors": [{"message": "this key is nobody's"}]}, 401)
        sent = json.loads(body)
        with self.server.lock:
            stream = re.fullmatch(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream", self.path)
            if stream:
                self.server.stream(self.server.run_named(stream[3]), sent)
                return self.reply({"exitcode": None, "limits": {}})
            try:
                return self.reply({"data": self.server.answer(sent["query"], sent.get("variables") or {})})
            except KeyError as unknown:
                return self.reply({"errors": [{"message": f"no answer to {unknown}"}]})

    def do_PUT(self) -> None:
        body = self.body()
        _, kind, owner, name = self.path.split("/", 3)
        with self.server.lock:
            if kind == "uploads":
                self.server.run_named(owner).files[name] = body
            else:
                self.server.artifacts[owner]["files"][name] = body
        self.reply({})

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, content: dict[str, Any], status: int = 200) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words: object) -> None:
        pass
