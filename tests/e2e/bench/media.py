#!/usr/bin/env python3
"""media.py BENCH PROGRAMS PLACE: tools/bench-media runs through, small, and gives a figure for each thing that it measures.

Exit status 77 without the programs that it runs beside ours. yt-dlp is taken from the Python of JOBRT_CLIENTS."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

bench, programs, place = sys.argv[1:]
missing = [name for name in ("ffmpeg", "curl") if not shutil.which(name)]
if missing:
    print(f"skipped: {', '.join(missing)} is not installed")
    sys.exit(77)
clients = os.environ.get("JOBRT_CLIENTS")
yt_dlp = pathlib.Path(clients).parent / "yt-dlp" if clients else None
browser = any(os.access(path, os.X_OK) for path in ("/usr/lib/chromium/chromium", "/usr/bin/chromium", "/usr/bin/google-chrome"))

words = [sys.executable, bench, "--small", "--bin", programs, "--place", place]
words += ["--only", "hls,direct,browser" if browser else "hls,direct"]
if yt_dlp and yt_dlp.exists():
    words += ["--yt-dlp", yt_dlp]
done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150, text=True)
print(done.stdout)
assert done.returncode == 0, f"it ended with status {done.returncode}"
figures = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
wanted = {"HLS of 8 s in 2 pieces, 30 ms a request, whole job": "ffmpeg -c copy",
          "HLS of 8 s in 2 pieces, 0 ms a request, download only": "ffmpeg -c copy",
          "a file of 2 MiB, download only": "curl", "a file of 2 MiB, whole job": "curl, then sync"}
if "--yt-dlp" in words:
    wanted["HLS of 8 s in 2 pieces, 0 ms a request, whole job"] = "yt-dlp -N 8"
if browser:
    wanted.update({f"warm extraction, page {page}": None for page in ("plain", "script", "frame")})
for figure, beside in wanted.items():
    found = [one for one in figures if one["figure"] == figure and beside in (None, one.get("beside"))]
    assert len(found) == 1, f"no figure, or more than one, for: {figure}, beside {beside}"
    assert found[0]["n"] == 1 and found[0]["ours_ms"] > 0 and found[0].get("theirs_ms", 1) > 0, found
# Each answer came after its 30 ms: the playlist, then the segments beside each other.
slow = next(one for one in figures if one["figure"].startswith("HLS of 8 s in 2 pieces, 30 ms a request, download only"))
assert slow["ours_ms"] >= 60, f"a playlist and its segments in {slow['ours_ms']} ms, with 30 ms a request"
left = sorted(path.name for path in pathlib.Path(place).iterdir() if path.name.startswith("tmp"))
assert not left, f"left behind: {left}"
