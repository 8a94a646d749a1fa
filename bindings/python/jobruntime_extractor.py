# Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
"""An extractor for jobrt in Python: copy this one file beside yours.

    #!/usr/bin/env python3
    from jobruntime_extractor import extractor, ExtractorError

    @extractor
    def extract(request):
        if "/talk/" not in request.url:
            raise ExtractorError("UNSUPPORTED_SOURCE", "not a talk")
        return {"title": "A talk", "formats": [{"url": "https://example.org/talk.mp4", "ext": "mp4"}]}

The decorated function is called at once when the file is run as a program, so put it last. What it returns is
the result, with the names of yt-dlp's info dict, or {"file": "video.mp4"} for a file in request.tmp_dir. print()
goes to the job's log, for stdout belongs to the protocol. SIGTERM ends the program.
"""

import json
import sys
import traceback

__all__ = ["extractor", "ExtractorError", "Request"]


class ExtractorError(Exception):
    """Why there is no video; `code` as docs/extractors.md lists them, e.g. NO_MEDIA."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Request:
    """What is asked. All are read-only: url, post_id, job_id, timeout (seconds), tmp_dir, cookies_file or None, nth (the
    number of the video that is wanted, from 1, or None when nobody has said one)."""

    def __init__(self, fields, send):
        self.url = fields["url"]
        self.post_id = fields.get("postId", "")
        self.job_id = fields.get("jobId", "")
        self.timeout = fields.get("timeoutMs", 180_000) / 1000
        self.tmp_dir = fields.get("tmpDir", "")
        self.cookies_file = fields.get("cookiesFile")
        self.nth = fields.get("nth")
        self._send = send

    def progress(self, percent=None, message=""):
        """Shows how far it is; percent may be None."""
        self._send({"type": "progress", "percent": percent, "message": message})

    def log(self, message):
        """A line for the job's log."""
        self._send({"type": "log", "message": str(message)})


def extractor(function):
    """Makes `function(request)` an extractor, and runs it when its file is the program."""
    if function.__module__ == "__main__":
        sys.exit(_main(function, sys.stdin, sys.stdout))
    return function


def _main(function, stdin, stdout):
    def send(message):
        stdout.write(json.dumps(message) + "\n")
        stdout.flush()

    sys.stdout = sys.stderr
    try:
        fields = json.loads(stdin.readline())
        if fields.get("v") != 1:
            raise ExtractorError("EXTRACTOR_PROTOCOL", "this extractor knows version 1 of the protocol")
        result = function(Request(fields, send))
        if not isinstance(result, dict):
            raise ExtractorError("EXTRACTOR_PROTOCOL", "the extractor returned no dictionary")
        send({**result, "type": "result"})
    except ExtractorError as error:
        send({"type": "error", "code": error.code, "message": str(error)})
    except Exception as error:  # Whatever it is, the job is told, and the log has the place.
        traceback.print_exc()
        send({"type": "error", "code": "EXTRACTOR_CRASHED", "message": f"{type(error).__name__}: {error}"})
    return 0
