"""A tiny NSD on disk, by the phantom's writers: two subjects with different non-cubic grids and session counts."""

from __future__ import annotations

import contextlib
import http.client
import logging
import shutil
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from neurobust.nsd import layout
from neurobust.nsd.bucket import Source
from neurobust.phantom import files
from neurobust.phantom.design import Design, Sizes, make_design, responses_table, stim_info
from neurobust.phantom.labels import ATLASES, SURFACE_ATLASES

GRIDS = {"subj01": (9, 11, 8), "subj02": (10, 9, 7)}
SESSIONS = {"subj01": 5, "subj02": 4}
SIZES = Sizes(shared_images=20, unique_images=40, planned_sessions=6, trials_per_session=30)
SOURCE_SIZE = 12
IN_BOTH = {"subj01": (4, 5, 4), "subj02": (5, 4, 3)}  # lh says cortex without label, rh says 3
NCSNR = 2.0
OPAQUE = '"opaque"'  # an ETag that only the proxy gives


@dataclass
class TinyNSD:
    """The bucket's root and what was written there: int16 betas (X, Y, Z, trials), label volumes, images."""

    root: Path
    design: Design
    betas: dict[str, np.ndarray] = field(default_factory=dict)
    labels: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    images: np.ndarray | None = None

    def session_paths(self, subject: str, suffix: str = "nii.gz") -> list[Path]:
        return [layout.session(self.root, subject, n, suffix) for n in range(1, SESSIONS[subject] + 1)]


def brain(grid: tuple[int, int, int]) -> np.ndarray:
    """A brain mask that leaves out the faces of the grid and one odd corner."""
    mask = np.zeros(grid, bool)
    mask[1:-1, 1:-1, 1:-1] = True
    mask[1:3, 1:4, 1:2] = False
    return mask


def draw_labels(rng, subject: str, atlas: str) -> tuple[np.ndarray, np.ndarray]:
    """lh and rh volumes: labels at random places of each half, -1 (or 0) elsewhere."""
    grid = GRIDS[subject]
    left = np.arange(grid[0])[:, None, None] < grid[0] // 2
    background = -1 if atlas in SURFACE_ATLASES else 0
    count = len(ATLASES[atlas])
    volumes = []
    for side in (left, ~left):
        cortex = np.broadcast_to(side, grid) & (rng.random(grid) < 0.5)
        labels = np.where(rng.random(grid) < 0.5, rng.integers(1, count + 1, grid), 0)
        if subject == "subj02" and atlas == "floc-faces":
            labels[labels == 3] = 0  # this subject has no FFA-2
        volumes.append(np.where(cortex, labels, background).astype(float))
    if atlas == "prf-visualrois":
        volumes[0][IN_BOTH[subject]], volumes[1][IN_BOTH[subject]] = 0, 3
    return volumes[0], volumes[1]


def draw_betas(rng, subject: str, design: Design) -> np.ndarray:
    """int16 (X, Y, Z, trials) of images' planted signals and noise, with a gain and an offset of each session."""
    grid, sessions = GRIDS[subject], SESSIONS[subject]
    ids = design.nsd_ids(layout.subject_number(subject), sessions)
    signal = rng.normal(size=(*grid, SIZES.pool))
    values = NCSNR * signal[..., ids] + rng.normal(size=(*grid, len(ids)))
    gain, offset = rng.uniform(0.5, 2, sessions), rng.normal(0, 3, sessions)
    values = values * np.repeat(gain, SIZES.trials_per_session) + np.repeat(offset, SIZES.trials_per_session)
    values[3, 3, 3] *= 100  # saturates
    values[4, 4, 4, 30:60] = 0  # out of the field of view in session 2
    values[5, 5, 4] = 0  # never in it
    return files.to_int16(values * brain(grid)[..., None])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> TinyNSD:
    """The tiny NSD; tests must not change it (see `copied`)."""
    root = tmp_path_factory.mktemp("bucket")
    nsd = TinyNSD(root, make_design(SIZES, seed=3))
    rng = np.random.default_rng(5)
    files.write_expdesign(root, nsd.design)
    files.write_stim_info(root, stim_info(nsd.design))
    nsd.images = rng.integers(0, 256, (SIZES.pool, SOURCE_SIZE, SOURCE_SIZE, 3), np.uint8)
    files.write_stimuli(root, nsd.images)
    for number, subject in enumerate(GRIDS, start=1):
        nsd.betas[subject] = draw_betas(rng, subject, nsd.design)
        for session in range(SESSIONS[subject]):
            trials = slice(session * SIZES.trials_per_session, (session + 1) * SIZES.trials_per_session)
            files.write_session(root, subject, session + 1, nsd.betas[subject][..., trials])
        files.write_volume(root, subject, "brainmask", brain(GRIDS[subject]))
        published = np.where(brain(GRIDS[subject]), rng.random(GRIDS[subject]), np.nan)
        files.write_volume(root, subject, "ncsnr", published)
        for atlas in ATLASES:
            nsd.labels[subject, atlas] = draw_labels(rng, subject, atlas)
            files.write_roi(root, subject, atlas, *nsd.labels[subject, atlas])
        files.write_ctabs(root, subject)
        files.write_responses(root, subject, responses_table(nsd.design, number, SESSIONS[subject], seed=1))
    return nsd


@pytest.fixture
def copied(tiny, tmp_path) -> TinyNSD:
    """A copy of the tiny NSD that a test may damage."""
    root = tmp_path / "bucket"
    shutil.copytree(tiny.root, root)
    return TinyNSD(root, tiny.design, tiny.betas, tiny.labels, tiny.images)


@pytest.fixture
def fault():
    """The class of faults, for tests to make some."""
    return Fault


@pytest.fixture
def is_ranged():
    return ranged


class Fault:
    """What the proxy does to requests that `when` holds for: the next `times` of them (None: all)."""

    def __init__(self, kind: str, times: int | None = None, when=lambda method, path, headers: True, **settings):
        self.kind, self.times, self.when, self.settings = kind, times, when, settings

    def takes(self, method: str, path: str, headers) -> bool:
        if self.times == 0 or not self.when(method, path, headers):
            return False
        self.times = None if self.times is None else self.times - 1
        return True


def ranged(method, path, headers) -> bool:
    """Requests for bytes of a file, not listings."""
    return method == "GET" and "Range" in headers


class Proxy:
    """Between the client and the S3 server on loopback: counts bytes, and does what `faults` say."""

    def __init__(self, target: tuple[str, int]):
        self.faults: list[Fault] = []
        self.sent, self.requests, self.rate, self.lock = 0, [], None, threading.Lock()
        self.on_request = lambda path: None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def relay(self):
                proxy.on_request(self.path)
                with proxy.lock:
                    proxy.requests.append((self.command, self.path))
                    fault = next((f for f in proxy.faults if f.takes(self.command, self.path, self.headers)), None)
                upstream = http.client.HTTPConnection(*target)
                headers = {k: v for k, v in self.headers.items() if v != OPAQUE}
                upstream.request(self.command, self.path, headers=headers)
                answer = upstream.getresponse()
                body, headers = answer.read(), dict(answer.getheaders())
                upstream.close()
                with contextlib.suppress(OSError):  # the client was killed
                    proxy.answer(self, fault, answer.status, headers, body)

            do_GET = do_HEAD = relay

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, handler, fault, status, headers, body):
        kind, length = fault.kind if fault else None, len(body)
        if kind == "status":
            status, body = fault.settings["code"], b"<Error><Code>Injected</Code></Error>"
            headers, length = {"Content-Type": "application/xml"}, len(body)
        elif kind == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:]
        elif kind == "truncate":
            body = body[: int(length * fault.settings["keep"])]
        elif kind == "edit":
            status, headers, body = fault.settings["edit"](status, headers, body)
            length = len(body)
        elif kind == "stall":
            time.sleep(fault.settings["seconds"])
        handler.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                handler.send_header(name, value)
        handler.send_header(
            "Content-Length", headers.get("Content-Length", "0") if handler.command == "HEAD" else length
        )
        handler.end_headers()
        if handler.command == "HEAD":
            return
        for start in range(0, len(body), 1 << 14):
            block = body[start : start + (1 << 14)]
            handler.wfile.write(block)
            with self.lock:
                self.sent += len(block)
            if self.rate:
                time.sleep(len(block) / self.rate)
        if kind == "truncate":
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)


@dataclass
class Bucket:
    """The S3 server of the tests with the NSD bucket in it, behind a proxy."""

    client: object
    proxy: Proxy

    @property
    def source(self) -> Source:
        return Source(self.proxy.endpoint)

    def server(self) -> Source:
        """For those who ask for it only when they need one."""
        return self.source

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=layout.BUCKET, Key=key, Body=content, ACL="public-read")

    def put_in_parts(self, key: str, content: bytes, part: int = 5 << 20) -> None:
        """Upload as large files are: the ETag is then no MD5 of the content."""
        names = {"Bucket": layout.BUCKET, "Key": key}
        upload = self.client.create_multipart_upload(**names, ACL="public-read")["UploadId"]
        parts = []
        for number, start in enumerate(range(0, len(content), part), start=1):
            body = content[start : start + part]
            answer = self.client.upload_part(**names, UploadId=upload, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.client.complete_multipart_upload(**names, UploadId=upload, MultipartUpload={"Parts": parts})

    def put_tree(self, root: Path, pattern: str = "nsddata*/**/*") -> None:
        for path in root.glob(pattern):
            if path.is_file():
                self.put(path.relative_to(root).as_posix(), path.read_bytes())


@pytest.fixture(scope="session")
def s3_server():
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture
def content(tmp_path) -> bytes:
    """A real volume of about 100 kB."""
    rng = np.random.default_rng(0)
    files.write_nifti(tmp_path / "made" / "x.nii.gz", rng.normal(size=(29, 31, 30)).astype(np.float32))
    return (tmp_path / "made" / "x.nii.gz").read_bytes()


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """An empty public bucket with the name of NSD's, and a proxy that does no harm yet. Pauses are short."""
    from neurobust.nsd import bucket as module

    for name, value in {"BACKOFF": 0.005, "LONGEST_WAIT": 0.02}.items():
        monkeypatch.setattr(module, name, value)
    host, port = s3_server
    control = http.client.HTTPConnection(host, port)
    control.request("POST", "/moto-api/reset")
    assert control.getresponse().status == 200
    client = module.session().create_client(
        "s3", region_name="us-east-2", endpoint_url=f"http://{host}:{port}", aws_access_key_id="a",
        aws_secret_access_key="b",
    )  # fmt: skip
    client.create_bucket(
        Bucket=layout.BUCKET, ACL="public-read", CreateBucketConfiguration={"LocationConstraint": "us-east-2"}
    )
    proxy = Proxy((host, port))
    yield Bucket(client, proxy)
    proxy.server.shutdown()
    proxy.server.server_close()
