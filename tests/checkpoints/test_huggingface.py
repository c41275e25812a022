"""Downloads from a server on this machine that answers as the Hub does, well or badly."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "hyperparams.json": b'{"embed_dim": 16}',
    "pytree_ckpt.joblib": b"weights " * 1000,
}

# Runs in a process of its own, because the Hub's client reads its variables when it is imported.
CLIENT = """
import json, sys, time
from ntjax.checkpoints.hub import download
from ntjax.errors import UserError
import huggingface_hub
for repository, revision in json.loads(sys.argv[1]):
    start = time.perf_counter()
    try:
        found = download(repository, revision, "MODEL")
        result = {"folder": str(found.folder), "commit": found.commit, "sha256": found.sha256}
    except UserError as error:
        result = {"error": str(error)}
    print(json.dumps(result | {"seconds": time.perf_counter() - start}))
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """`/OWNER/REPOSITORY/resolve/REVISION/jax_model/FILE`, each repository with its own fault."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        parts = self.path.split("?")[0].strip("/").split("/")
        self.server.requests.append((self.command, self.path))
        if len(parts) != 6:
            return self.fail(404)
        owner, repository, _, revision, _, name = parts
        failures = {"missing": 404, "gated": 401, "broken": 503}
        if repository in failures:
            return self.fail(failures[repository])
        if revision not in ("main", COMMIT) or owner not in ("InstaDeepAI", "someone"):
            return self.fail(404)
        if repository == "mute":
            return time.sleep(30)
        contents = FILES[name]
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(contents).hexdigest()}"')
        self.send_header("Content-Length", str(len(contents)))
        self.end_headers()
        if body and repository == "stalling":
            return time.sleep(30)
        if body:
            self.wfile.write(contents if repository != "altered" else contents.upper())
        return None

    def fail(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        pass  # clients that give up are part of the tests


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    server = Server(("127.0.0.1", 0), Hub)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.home = tmp_path_factory.mktemp("huggingface")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def downloads(home, *wanted, endpoint=None, **variables):
    """One result for each (repository, revision), from a fresh process with its own cache."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment = kept | {"HF_HOME": str(home), "NO_PROXY": "*"} | variables
    if endpoint is not None:
        environment["HF_ENDPOINT"] = endpoint
    result = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(wanted)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def address(hub):
    return f"http://127.0.0.1:{hub.server_port}"


def check_advice(result, repository):
    assert "\n" not in result["error"]
    assert result["error"].startswith("could not download MODEL (")
    assert result["error"].endswith(
        "): put hyperparams.json and pytree_ckpt.joblib from "
        f"https://huggingface.co/{repository}/tree/main/jax_model into models/MODEL/jax_model/ "
        "and pass --model models/MODEL"
    )


@pytest.fixture(scope="module")
def results(hub):
    wanted = [
        ("good", None),
        ("good", COMMIT),
        ("someone/good", "main"),
        ("altered", None),
        ("missing", None),
        ("gated", None),
        ("broken", None),
        ("good", "f" * 40),
    ]
    return downloads(hub.home, *wanted, endpoint=address(hub))


def test_downloads(hub, results):
    digest = hashlib.sha256(FILES["pytree_ckpt.joblib"]).hexdigest()
    for result in results[:4]:
        folder = hub.home / "hub"
        assert result["commit"] == COMMIT
        assert result["sha256"] == digest
        assert result["folder"].startswith(str(folder))  # the Hub's own cache
        for name, contents in FILES.items():
            with open(f"{result['folder']}/jax_model/{name}", "rb") as file:
                assert file.read().lower() == contents
    assert results[0]["folder"] == results[1]["folder"]
    for result in results[4:7]:
        assert result["seconds"] < 10
    check_advice(results[4], "InstaDeepAI/missing")
    check_advice(results[5], "InstaDeepAI/gated")
    check_advice(results[6], "InstaDeepAI/broken")
    assert "404" in results[4]["error"]
    assert "401" in results[5]["error"]
    assert "503" in results[6]["error"]
    check_advice(results[7], "InstaDeepAI/good")
    # The second time the commit was pinned and in the cache, so nothing was requested.
    good = [request for request in hub.requests if "/InstaDeepAI/good/resolve/" in request[1]]
    assert [path for command, path in good if command == "GET"] == [
        "/InstaDeepAI/good/resolve/main/jax_model/hyperparams.json",
        f"/InstaDeepAI/good/resolve/{COMMIT}/jax_model/pytree_ckpt.joblib",
    ]


def test_what_is_in_the_cache_is_found_without_a_network(hub, results):
    requests = len(hub.requests)
    offline = downloads(
        hub.home, ("good", None), ("good", COMMIT), ("other", None), HF_HUB_OFFLINE="1"
    )
    assert offline[0]["commit"] == offline[1]["commit"] == COMMIT
    assert offline[0]["sha256"] == hashlib.sha256(FILES["pytree_ckpt.joblib"]).hexdigest()
    check_advice(offline[2], "InstaDeepAI/other")
    assert "offline" in offline[2]["error"]
    assert offline[2]["seconds"] < 5
    # Port 9 of this machine refuses connections; a pinned commit needs none.
    unreachable = downloads(
        hub.home, ("good", COMMIT), ("good", None), ("other", None), endpoint="http://127.0.0.1:9"
    )
    assert unreachable[0]["commit"] == unreachable[1]["commit"] == COMMIT
    check_advice(unreachable[2], "InstaDeepAI/other")
    assert unreachable[2]["seconds"] < 10
    assert len(hub.requests) == requests


@pytest.mark.slow
def test_servers_that_never_answer(hub, tmp_path):
    """No answer at all: ten seconds. A body that never comes: the client's own six attempts."""
    results = downloads(
        tmp_path,
        ("mute", None),
        ("stalling", None),
        endpoint=address(hub),
        HF_HUB_DOWNLOAD_TIMEOUT="1",
    )
    check_advice(results[0], "InstaDeepAI/mute")
    assert results[0]["seconds"] < 20
    check_advice(results[1], "InstaDeepAI/stalling")
    assert results[1]["seconds"] < 40
