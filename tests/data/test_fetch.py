"""Fetching a corpus from a server on this machine that counts what it sends."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import interrupted, watched

from keras_listen.cli.fetch import fetch as command
from keras_listen.data import download as downloading
from keras_listen.data.corpus import read_corpus
from keras_listen.data.fetch import MARKER, SPEECH_COMMANDS, Archive, fetch
from keras_listen.errors import CorpusError, ListenError, ParameterError, RunError

MIB = 2**20


class Server(http.server.ThreadingHTTPServer):
    """Serves `data` at any path, counts the body bytes it sends and records each Range.

    Attributes:
        ranges: does it understand Range?
        cut_at: position in the file at which it closes the connection, or None.
        pause: seconds to wait after each 64 KiB.
        misplaced: answer a Range with a part that starts elsewhere.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data, self.status, self.ranges = b"", 200, True
        self.cut_at, self.pause, self.misplaced = None, 0.0, False
        self.sent, self.asked = 0, []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/corpus.tar.gz"


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if not (wanted and server.ranges):
            start = 0
            self.send_response(200)
        elif start >= len(server.data):
            self.send_error(416)
            return
        else:
            start = start // 2 if server.misplaced else start
            self.send_response(206)
            end, size = len(server.data) - 1, len(server.data)
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Content-Length", str(len(server.data) - start))
        # Some servers call the gzip an encoding; the stored bytes are wanted all the same.
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self._send(start)

    def _send(self, start: int) -> None:
        server = self.server
        end = len(server.data) if server.cut_at is None else server.cut_at
        for at in range(start, end, 65536):
            part = server.data[at : min(end, at + 65536)]
            try:
                self.wfile.write(part)
            except OSError:
                return
            server.sent += len(part)
            time.sleep(server.pause)
        self.close_connection = True


@pytest.fixture
def server(monkeypatch):
    """A running Server; proxies of the environment are bypassed."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def pack(files: dict[str, bytes], *members: tarfile.TarInfo, suffix: str = "gz") -> bytes:
    """Pack files, then `members` without content, as the bytes of a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{suffix}") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for member in members:
            tar.addfile(member)
    return buffer.getvalue()


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def noise(size: int) -> bytes:
    """Bytes that no packer makes smaller."""
    return np.random.default_rng(0).bytes(size)


FILES = {
    "./yes/aa_nohash_0.wav": b"yes",
    "./no/aa_nohash_0.wav": b"no",
    "./_background_noise_/hum.wav": noise(4 * MIB),
    "./testing_list.txt": b"yes/aa_nohash_0.wav\n",
    "./validation_list.txt": b"",
    "./README.md": b"about",
}
HUM = FILES["./_background_noise_/hum.wav"]
PACKED = pack(FILES)


def archive_at(server: Server, data: bytes | None = None) -> Archive:
    """Serve `data`, by default a small corpus of 4 MiB, and describe it."""
    server.data = PACKED if data is None else data
    return Archive(server.url, hashlib.sha256(server.data).hexdigest())


def contents(root) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != MARKER
    }


def refused(error: pytest.ExceptionInfo) -> str:
    """Return the message of a refusal, after checking that it is one line."""
    assert isinstance(error.value, ListenError)
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


def test_everything_in_the_archive_arrives(server, tmp_path):
    done = fetch(tmp_path / "new" / "corpus", archive_at(server))
    assert done.fresh
    assert done.files == len(FILES)
    expected = {name.removeprefix("./"): data for name, data in FILES.items()}
    assert contents(done.root) == expected
    assert server.sent == len(server.data)
    # Nothing stays beside it.
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["corpus"]
    corpus = read_corpus(done.root)
    assert corpus.words == ("no", "yes")
    assert [u.split for u in corpus.utterances] == ["training", "testing"]
    assert [path.name for path in corpus.noise] == ["hum.wav"]


def test_a_finished_corpus_is_recognised_without_the_server(server, tmp_path):
    archive = archive_at(server)
    fetch(tmp_path / "corpus", archive)
    asked = len(server.asked)
    again = fetch(tmp_path / "corpus", archive)
    assert (again.fresh, again.files) == (False, len(FILES))
    assert len(server.asked) == asked


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    archive = archive_at(server)
    server.cut_at = 3 * MIB
    with pytest.raises(CorpusError) as error:
        fetch(tmp_path / "corpus", archive)
    assert "broke off" in refused(error)
    assert not (tmp_path / "corpus").exists()
    (part,) = (tmp_path / "corpus.download" / "archive").glob("*.part")
    have = part.stat().st_size
    # At most one chunk that had begun to arrive is lost.
    assert 2 * MIB <= have <= 3 * MIB
    assert part.read_bytes() == server.data[:have]

    server.cut_at, server.sent = None, 0
    done = fetch(tmp_path / "corpus", archive)
    assert server.asked == [None, f"bytes={have}-"]
    assert server.sent == len(server.data) - have
    assert contents(done.root)["_background_noise_/hum.wav"] == HUM


def test_a_killed_process_goes_on_where_it_stopped(server, tmp_path):
    archive = archive_at(server)
    server.pause = 0.05
    code = (
        "import sys; from keras_listen.data.fetch import Archive, fetch; "
        "fetch(sys.argv[1], Archive(sys.argv[2], sys.argv[3]))"
    )
    arguments = [str(tmp_path / "corpus"), archive.url, archive.sha256]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    folder = tmp_path / "corpus.download" / "archive"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(
        part.stat().st_size for part in folder.glob("*.part")
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (part,) = folder.glob("*.part")
    have = part.stat().st_size
    assert 0 < have < len(server.data)

    server.pause = 0.0
    done = fetch(tmp_path / "corpus", archive)
    assert server.asked == [None, f"bytes={have}-"]
    assert len(contents(done.root)) == len(FILES)


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    archive = archive_at(server)
    server.ranges, server.cut_at = False, 3 * MIB
    with pytest.raises(CorpusError):
        fetch(tmp_path / "corpus", archive)
    server.cut_at, server.sent = None, 0
    fetch(tmp_path / "corpus", archive)
    assert server.sent == len(server.data)


@pytest.mark.parametrize("left", ["longer than the file", "answered from elsewhere"])
def test_a_part_that_cannot_be_continued_is_fetched_anew(server, tmp_path, left):
    archive = archive_at(server)
    folder = tmp_path / "corpus.download" / "archive"
    folder.mkdir(parents=True)
    size = len(server.data) + 5 if left == "longer than the file" else 1000
    (folder / f"{archive.sha256[:16]}.part").write_bytes(b"?" * size)
    server.misplaced = True
    fetch(tmp_path / "corpus", archive)
    assert server.asked == [f"bytes={size}-", None]


def test_a_part_with_wrong_bytes_fails_the_checksum_and_is_deleted(server, tmp_path):
    archive = archive_at(server)
    folder = tmp_path / "corpus.download" / "archive"
    folder.mkdir(parents=True)
    (folder / f"{archive.sha256[:16]}.part").write_bytes(b"?" * 1000)
    with pytest.raises(CorpusError):
        fetch(tmp_path / "corpus", archive)
    assert list(folder.iterdir()) == []
    assert fetch(tmp_path / "corpus", archive).fresh


def test_a_wrong_checksum_deletes_the_file(server, tmp_path):
    right, wrong = archive_at(server).sha256, "0" * 64
    with pytest.raises(CorpusError) as error:
        fetch(tmp_path / "corpus", Archive(server.url, wrong))
    text = refused(error)
    assert right in text
    assert wrong in text
    assert server.url in text
    assert list((tmp_path / "corpus.download" / "archive").iterdir()) == []
    assert not (tmp_path / "corpus").exists()


def test_a_call_stopped_while_the_checksum_is_computed_keeps_the_download(
    server, tmp_path, monkeypatch
):
    import pooch.core

    packed = archive_at(server)
    archive = Archive(packed.url, packed.sha256, size=len(server.data))

    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pooch.core, "hash_matches", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path / "corpus", archive)
    assert fetch(tmp_path / "corpus", archive).fresh
    assert server.asked == [None]


def test_a_stopped_unpacking_is_repeated_without_a_download(server, tmp_path):
    archive = archive_at(server)

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path / "corpus", archive, track=interrupted(2, "unpack"))
    assert not (tmp_path / "corpus").exists()
    assert len(contents(tmp_path / "corpus.download" / "tree")) == 3
    stray = tmp_path / "corpus.download" / "tree" / "stray.txt"
    stray.write_text("left over")

    done = fetch(tmp_path / "corpus", archive)
    assert server.asked == [None]
    assert len(contents(done.root)) == len(FILES)
    assert not (done.root / "stray.txt").exists()


def test_progress_counts_what_is_left(server, tmp_path):
    archive = archive_at(server)
    seen = {}

    def see(done, *, total, label, unit):
        seen[label] = (label, unit, total, done)

    fetch(tmp_path / "corpus", archive, track=watched(see))
    # 4 MiB of noise and a little more are five chunks; nobody said how many files there are.
    assert [*seen.values()] == [("download", "MiB", 5, 5), ("unpack", "file", None, len(FILES))]


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("absolute path", tarfile.TarInfo("/tmp/keras-listen-escaped.wav")),
        ("parent", tarfile.TarInfo("yes/../../escaped.wav")),
        ("parent, Windows", tarfile.TarInfo("..\\escaped.wav")),
        ("drive", tarfile.TarInfo("C:escaped.wav")),
        ("symlink out", special("yes/link", tarfile.SYMTYPE, "../../escaped")),
        ("absolute symlink", special("yes/link", tarfile.SYMTYPE, "/etc")),
        ("hard link out", special("yes/link", tarfile.LNKTYPE, "../escaped")),
        ("device", special("yes/null", tarfile.CHRTYPE)),
        ("pipe", special("yes/pipe", tarfile.FIFOTYPE)),
    ],
)
def test_a_hostile_archive_is_refused_and_leaves_nothing(server, tmp_path, name, member):
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = archive_at(server, pack({"yes/aa_nohash_0.wav": b"yes"}, member))
    with pytest.raises(CorpusError) as error:
        fetch(inside / "corpus", archive)
    assert repr(member.name) in refused(error)
    assert list(inside.iterdir()) == []
    assert list(tmp_path.iterdir()) == [inside]
    assert not os.path.exists("/tmp/keras-listen-escaped.wav")


def test_a_file_is_not_written_through_a_link_of_the_archive(server, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(special("yes", tarfile.SYMTYPE, str(victim)))
        info = tarfile.TarInfo("yes/escaped.wav")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"bad"))
    with pytest.raises(CorpusError, match="not safe"):
        fetch(tmp_path / "corpus", archive_at(server, buffer.getvalue()))
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>log in</html>",
        PACKED[: 2 * MIB],
        PACKED[: 2 * MIB] + b"\0" * MIB,
        pack({}),
    ],
    ids=["nothing", "page", "half an archive", "zeros inside", "no files"],
)
def test_what_is_no_whole_archive_is_refused(server, tmp_path, data):
    with pytest.raises(CorpusError) as error:
        fetch(tmp_path / "corpus", archive_at(server, data))
    assert "no usable tar archive" in refused(error)
    assert list(tmp_path.iterdir()) == []


def test_an_unexpected_length_is_refused_before_the_download(server, tmp_path):
    packed = archive_at(server)
    with pytest.raises(CorpusError) as error:
        fetch(tmp_path / "corpus", Archive(packed.url, packed.sha256, size=7))
    assert f"offers {len(server.data):,} bytes; expected 7" in refused(error)
    assert not list((tmp_path / "corpus.download" / "archive").iterdir())


@pytest.mark.parametrize("status", [404, 403, 500, 204])
def test_the_answer_of_a_server_that_refuses_is_told(server, tmp_path, status):
    server.status = status
    with pytest.raises(CorpusError) as error:
        fetch(tmp_path / "corpus", Archive(server.url, "0" * 64))
    text = refused(error)
    assert f"answered {status}" in text
    assert server.url in text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/x.tar.gz", "refused"),
        ("http://nowhere.invalid/x.tar.gz", "nowhere.invalid"),
        ("ftp.example/x.tar.gz", "http://"),
        ("file:///etc/passwd", "http://"),
        ("http://", "http://"),
        ("http://[", "http://"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(server, tmp_path, url, said):
    with pytest.raises(CorpusError) as error:
        fetch(tmp_path / "corpus", Archive(url, "0" * 64))
    text = refused(error)
    assert url in text
    assert said in text


def test_a_server_that_has_gone_leaves_the_part_for_later(server, tmp_path):
    archive = archive_at(server)
    server.cut_at = 3 * MIB
    with pytest.raises(CorpusError):
        fetch(tmp_path / "corpus", archive)
    gone = Archive("http://127.0.0.1:1/x.tar.gz", archive.sha256)
    with pytest.raises(CorpusError) as error:
        fetch(tmp_path / "corpus", gone)
    assert "cannot download" in refused(error)
    assert "are kept" in refused(error)


def test_a_mirror_finishes_what_another_server_began(server, tmp_path):
    archive = archive_at(server)
    server.cut_at = 3 * MIB
    with pytest.raises(CorpusError):
        fetch(tmp_path / "corpus", archive)
    server.cut_at, server.sent = None, 0
    fetch(tmp_path / "corpus", Archive(server.url + "?mirror", archive.sha256))
    assert server.sent <= len(server.data) - 2 * MIB


def test_a_full_disk_is_noticed_before_the_download(server, tmp_path, monkeypatch):
    archive = archive_at(server)
    # Room for the download, but not for the unpacked files too.
    free = len(server.data) * 2
    monkeypatch.setattr(
        downloading.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free})
    )
    with pytest.raises(RunError) as error:
        fetch(tmp_path / "corpus", archive)
    assert "0.01 GB free; expected 0.01 GB" in refused(error)
    assert server.sent <= 3 * MIB
    assert not list((tmp_path / "corpus.download" / "archive").iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_fills_up_is_one_line(server, tmp_path):
    archive = archive_at(server)
    folder = tmp_path / "corpus.download" / "archive"
    folder.mkdir(parents=True)
    (folder / f"{archive.sha256[:16]}.part").symlink_to("/dev/full")
    with pytest.raises(RunError) as error:
        fetch(tmp_path / "corpus", archive)
    assert "No space left" in refused(error)


def test_a_folder_that_is_taken_is_refused_and_left_alone(server, tmp_path):
    archive = archive_at(server)
    file = tmp_path / "file"
    file.write_text("mine")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.tex").write_text("mine")
    for target, said in ((file, "is a file"), (taken, "holds something else")):
        with pytest.raises(CorpusError) as error:
            fetch(target, archive)
        assert said in refused(error)
    assert file.read_text() == "mine"
    assert contents(taken) == {"thesis.tex": b"mine"}
    assert server.asked == []


def test_a_folder_with_another_corpus_is_refused(server, tmp_path):
    first = archive_at(server)
    fetch(tmp_path / "corpus", first)
    second = archive_at(server, pack({"up/a.wav": b"up"}))
    with pytest.raises(CorpusError) as error:
        fetch(tmp_path / "corpus", second)
    assert first.sha256 in refused(error)
    assert len(contents(tmp_path / "corpus")) == len(FILES)


def test_a_damaged_marker_does_not_pass_for_a_corpus(tmp_path):
    for text in ("", "{}", "[1]", '{"sha256": 1, "files": []}'):
        (tmp_path / MARKER).write_text(text)
        with pytest.raises(CorpusError, match="holds something else"):
            fetch(tmp_path)


def test_an_empty_folder_is_used_but_not_the_current_one(server, tmp_path, monkeypatch):
    archive = archive_at(server)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert fetch(empty, archive).fresh
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(CorpusError, match="current folder"):
        fetch(".", archive)
    monkeypatch.chdir(empty)
    assert not fetch(".", archive).fresh


def test_a_link_to_an_empty_folder_is_followed(server, tmp_path):
    (tmp_path / "disk" / "space").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "space")
    done = fetch(tmp_path / "link", archive_at(server))
    assert done.root == tmp_path / "disk" / "space"
    assert (tmp_path / "link" / "README.md").read_bytes() == b"about"
    assert not fetch(tmp_path / "link", archive_at(server)).fresh


def test_a_second_call_at_the_same_time_is_refused(server, tmp_path):
    archive = archive_at(server)
    errors = []

    def fetch_again(done, *, label, **_about):
        if label == "unpack" and done == 1:
            with pytest.raises(RunError) as error:
                fetch(tmp_path / "corpus", archive)
            errors.append(refused(error))

    assert fetch(tmp_path / "corpus", archive, track=watched(fetch_again)).fresh
    assert len(errors) == 1
    assert "another call" in errors[0]


def test_files_beside_the_corpus_that_are_not_ours_stay(server, tmp_path):
    beside = tmp_path / "corpus.download"
    beside.mkdir()
    (beside / "mine.txt").write_text("mine")
    fetch(tmp_path / "corpus", archive_at(server))
    assert contents(tmp_path / "corpus.download") == {"mine.txt": b"mine"}


def test_the_archive_is_that_of_the_paper():
    assert SPEECH_COMMANDS.size == 2_428_923_189
    assert SPEECH_COMMANDS.sha256.startswith("af14739ee7dc311471de98f5f9d2c9191b18aedf")
    for wrong in ("", "abc", "g" * 64):
        with pytest.raises(ParameterError, match="64 hex digits"):
            Archive("http://x", wrong)


def test_command_line(server, tmp_path):
    archive = archive_at(server)
    folder = str(tmp_path / "corpus")
    arguments = ["speech-commands", folder, "--url", archive.url, "--sha256", archive.sha256]
    first = CliRunner().invoke(command, arguments)
    assert first.exit_code == 0, first.output
    assert first.stdout == f"2 utterances of 2 words: {folder}\n"
    assert "MiB" in first.stderr
    again = CliRunner().invoke(command, arguments)
    assert again.stdout.startswith("the corpus was there already\n")


def test_a_mirror_must_hold_the_same_archive(server, tmp_path):
    server.data = b"something else"
    arguments = ["speech-commands", str(tmp_path / "corpus"), "--url", server.url]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, CorpusError)
    assert "expected 2,428,923,189" in str(result.exception)


def test_the_program_prints_one_line_and_fails(server, tmp_path):
    server.status = 404
    program = [sys.executable, "-m", "keras_listen", "fetch", "speech-commands"]
    result = subprocess.run(
        [*program, str(tmp_path / "corpus"), "--url", server.url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"keras-listen: {server.url} answered 404")
    assert result.stderr.count("\n") == 1


def test_the_marker_says_where_it_came_from(server, tmp_path):
    archive = archive_at(server)
    done = fetch(tmp_path / "corpus", archive)
    about = json.loads((done.root / MARKER).read_text())
    assert about == {"url": archive.url, "sha256": archive.sha256, "files": len(FILES)}
