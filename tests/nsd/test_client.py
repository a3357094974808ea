"""The anonymous client: nobody's profile, and the right cause where no S3 server answers or it hides its listing."""

from __future__ import annotations

import hashlib
import re

import botocore.session
import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.core.io import write_json
from neurobust.nsd import bucket as module
from neurobust.nsd import layout
from neurobust.nsd.__main__ import main
from neurobust.nsd.bucket import Source, connect, find, session
from neurobust.nsd.download import download
from neurobust.nsd.manifest import read_digests
from neurobust.nsd.plan import list_files

KEY = "nsddata/ppdata/subj01/func1pt8mm/mean.nii.gz"


def listed(method, path, headers) -> bool:
    return "list-type" in path


# --- nobody's profile -----------------------------------------------------------------------------------------------


def spoil(monkeypatch, tmp_path):
    """Every variable and file that AWS tools listen to, set to what none of them can use."""
    broken = tmp_path / "home/.aws"
    (broken / "models/s3/2006-03-01").mkdir(parents=True)
    (broken / "models/s3/2006-03-01/service-2.json").write_text("{")
    for name in ("config", "credentials"):
        (broken / name).write_text("[no section\n=\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    names = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "AWS_S3_USE_ARN_REGION",
             "AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}  # fmt: skip
    for _, variables, _, _ in botocore.session.Session.SESSION_VARIABLES.values():
        names |= {variables} if isinstance(variables, str) else set(variables or ())
    assert {"AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_DATA_PATH", "AWS_MAX_ATTEMPTS"} <= names
    for name in names:
        monkeypatch.setenv(name, "http://127.0.0.1:9/nothing")


@pytest.fixture
def spoiled(monkeypatch, tmp_path):
    """A process of a user whose AWS tools are set up for something else, and wrongly."""
    spoil(monkeypatch, tmp_path)
    for made_once in (session, connect):
        made_once.cache_clear()
    yield
    for made_once in (session, connect):
        made_once.cache_clear()


def test_aws_settings_of_the_user_change_nothing(bucket, spoiled, tmp_path, content):
    bucket.put(KEY, content)
    download(bucket.source, tmp_path / "root", tmp_path / "root" / KEY)
    assert (tmp_path / "root" / KEY).read_bytes() == content
    client = connect(Source())
    assert client.meta.endpoint_url == "https://s3.us-east-2.amazonaws.com"
    url = client.generate_presigned_url("get_object", {"Bucket": layout.BUCKET, "Key": "x"})
    assert url == "https://natural-scenes-dataset.s3.amazonaws.com/x"


# --- a server that may not be listed --------------------------------------------------------------------------------


def test_without_a_listing_the_file_itself_is_asked(bucket, tmp_path, content, fault):
    bucket.put(KEY, content)
    bucket.proxy.faults = [fault("status", code=403, when=listed)]
    record = download(bucket.source, tmp_path, tmp_path / KEY)
    assert (tmp_path / KEY).read_bytes() == content and record["etag_is"] == "md5"
    assert list_files(bucket.source, tmp_path, [tmp_path / KEY])[tmp_path / KEY].size == len(content)
    missing = KEY.replace("mean", "absent")
    with pytest.raises(InputError, match=r"absent.nii.gz: the server has no such file \(404"):
        find(connect(bucket.source), missing)
    with pytest.raises(InputError, match=r"absent.nii.gz: the server has no such file \(404"):
        list_files(bucket.source, tmp_path, [tmp_path / KEY, tmp_path / missing])


# --- what is no S3 server -------------------------------------------------------------------------------------------

HTML = b"<!doctype html><html><head><meta charset=utf-8><title>Log in</title><body>Welcome<br>"
XHTML = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>Log in</p></body></html>'
PAGE = {"Content-Type": "text/html"}
LOGIN = {"Location": "http://login.hotel.example/?from=here", **PAGE}
PORTALS = {
    "a page": (200, PAGE, HTML),
    "a page that is XML": (200, {"Content-Type": "application/xhtml+xml"}, XHTML),
    "nothing": (200, {}, b""),
    "a redirect to a page": (302, LOGIN, b""),
    "a redirect to itself": (307, {"Location": "/natural-scenes-dataset?list-type=2"}, b""),
    "a permanent redirect with a page": (301, LOGIN, HTML),
    "a page that says no": (403, PAGE, HTML),
    "log in to the network": (511, PAGE, HTML),
}


@pytest.mark.parametrize("where", ["listing", "file"])
@pytest.mark.parametrize("portal", PORTALS)
def test_a_captive_portal_is_named_at_once(bucket, tmp_path, content, fault, is_ranged, portal, where):
    bucket.put(KEY, content)
    bucket.proxy.faults = [
        fault("edit", edit=lambda *_: PORTALS[portal], when=listed if where == "listing" else is_ranged)
    ]
    with pytest.raises(InputError, match=r"mean.nii.gz: what answers is no S3 server .* captive portal") as caught:
        download(bucket.source, tmp_path, tmp_path / KEY, workers=1)  # others may have asked before it is seen
    message = str(caught.value)
    assert "\n" not in message and "data.endpoint" in message
    assert PORTALS[portal][1].get("Location", "") in message
    assert len(bucket.proxy.requests) < module.TRIES, "it does not pass by asking again"


def test_an_untrusted_certificate_is_named_at_once(tmp_path, monkeypatch):
    """As of a proxy that looks into connections."""
    import http.server
    import ssl
    import subprocess
    import threading

    monkeypatch.setattr(module, "wait", lambda *_: pytest.fail("it does not pass by asking again"))
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=proxy"]
    try:
        subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with pytest.raises(InputError, match=r"no trusted connection .* REQUESTS_CA_BUNDLE") as caught:
            find(connect(Source(f"https://127.0.0.1:{server.server_port}")), KEY)
        assert "\n" not in str(caught.value)
    finally:
        server.shutdown()
        server.server_close()


# --- a file that is only locked -------------------------------------------------------------------------------------


@pytest.fixture
def locked():
    """`locked(path)`: as while somebody writes that HDF5 file."""
    import fcntl
    import os

    handles = []

    def lock(path):
        handles.append(os.open(path, os.O_RDWR))
        fcntl.flock(handles[-1], fcntl.LOCK_EX)
        return path

    yield lock
    for handle in handles:
        os.close(handle)


def test_a_locked_file_is_no_damaged_one(copied, bucket, locked):
    """Whoever reads it: the message says to wait, and never to delete."""
    from neurobust.files.betas import open_betas
    from neurobust.files.corruptions import open_corruptions
    from neurobust.files.roi import read_roi_images
    from neurobust.files.shifted import open_shifted
    from neurobust.nsd.betas import read_session
    from neurobust.nsd.fetch_stimuli import has_images
    from neurobust.nsd.stimuli import open_brick

    def opened(opener):
        def read(path):
            with opener(path):
                pass

        return read

    root = copied.root
    session, brick = locked(layout.session(root, "subj01", 1, "hdf5")), locked(layout.stimuli(root))
    voxels = np.array([100])
    for path, read in (
        (session, lambda path: read_session(path, voxels, (9, 11, 8), 30)), (session, opened(open_betas)),
        (session, opened(open_corruptions)), (session, opened(open_shifted)),
        (session, read_roi_images), (session, lambda path: download(bucket.source, root, path)),
        (brick, lambda path: open_brick(path, 340)), (brick, lambda path: has_images(path, [0])),
    ):  # fmt: skip
        with pytest.raises(
            InputError, match=r"hdf5: locked \(.*wait until the process that writes it is done"
        ) as caught:
            read(path)
        assert "delete" not in str(caught.value) and "\n" not in str(caught.value)


# --- bytes that no ETag vouches for ---------------------------------------------------------------------------------


def opaque(status, headers, body):
    """A listing and answers whose ETag is no checksum."""
    headers = {name: '"opaque"' if name.lower() == "etag" else value for name, value in headers.items()}
    return status, headers, re.sub(rb"<ETag>.*?</ETag>", b'<ETag>"opaque"</ETag>', body)


@pytest.mark.parametrize("known", [None, "right", "wrong"])
def test_a_known_digest_vouches_where_the_etag_does_not(bucket, tmp_path, content, fault, caplog, known):
    bucket.put(KEY, content)
    bucket.proxy.faults = [fault("edit", edit=opaque)]
    digests = layout.digests(tmp_path)
    digests.parent.mkdir()
    if known is not None:
        digest = hashlib.sha256(content if known == "right" else b"").hexdigest()
        digests.write_text(f"{'0' * 64}  ./nsddata/other\n\n{digest} *{KEY}\n")
    if known == "wrong":
        with pytest.raises(InputError, match=r"wrong twice.*its SHA-256 is .*SHA256SUMS says"):
            download(bucket.source, tmp_path, tmp_path / KEY)
        assert not (tmp_path / KEY).exists()
        return
    record = download(bucket.source, tmp_path, tmp_path / KEY)
    assert record["etag_is"] == "unknown" and (tmp_path / KEY).read_bytes() == content
    assert ("its ETag is no checksum" in caplog.text) == (known is None)


@pytest.mark.parametrize("says", ["right", "wrong", "wrong, but ours is right"])
def test_the_list_of_a_mirror_that_is_only_read_holds_for_what_comes_into_the_cache(
    bucket, tmp_path, content, fault, capsys, says
):
    bucket.put(KEY, content)
    bucket.proxy.faults = [fault("edit", edit=opaque)]
    root = layout.Copies(tmp_path / "theirs", tmp_path / "ours")
    right, wrong = hashlib.sha256(content).hexdigest(), "0" * 64
    theirs = layout.digests(root.root)
    theirs.parent.mkdir(parents=True)
    theirs.write_text(f"{right if says == 'right' else wrong}  {KEY}\n")
    write_json(layout.terms(root), {"terms_accepted": True, "endpoint": bucket.source.endpoint})
    if "ours" in says:
        layout.digests(root).write_text(f"{right}  {KEY}\n")
    words = ["fetch", root.cache, root.cache / KEY, "--copy", root.root]
    status = main([str(word) for word in words])
    assert status == (1 if says == "wrong" else 0)
    assert (root.cache / KEY).exists() == (says != "wrong") and not (root.root / KEY).exists()
    said = capsys.readouterr().err
    assert (f"{theirs} says" in said) == (says == "wrong") and "no checksum" not in said


def test_a_list_of_digests_that_is_none(tmp_path):
    layout.digests(tmp_path).parent.mkdir()
    layout.digests(tmp_path).write_text(f"{'0' * 64}  a\n{'0' * 63}  b\n")
    with pytest.raises(InputError, match=r"SHA256SUMS: line 2 is no SHA-256 and a key"):
        read_digests(layout.digests(tmp_path))


def test_another_region_is_named(bucket, fault):
    """Where the bucket is, the server says; nobody is sent there, as that may go on without end."""
    away = fault("edit", edit=lambda *_: (301, {"x-amz-bucket-region": "eu-west-1"}, b""), when=listed)
    bucket.proxy.faults = [away]
    with pytest.raises(InputError, match=r"301.*: the bucket is in eu-west-1; write that in data.region"):
        find(connect(bucket.source), KEY)
    assert len(bucket.proxy.requests) == 1
