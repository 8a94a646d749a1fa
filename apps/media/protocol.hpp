// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/result.hpp>

namespace jobruntime::helper {

/// A piece of a stream, in the file that it was put into.
struct Piece {
    std::int64_t end = 0;  ///< It begins where the one before it ends.
    double seconds = 0;    ///< How long its playlist says that it plays; 0 for an init section.
    double pause = 0;      ///< Before it, by the same word.
    bool exact = false;    ///< The word is about this piece; else it was rounded or reckoned.
};

/// What is asked of this process: one line of JSON on stdin, e.g.
/// {"v":1,"op":"finish","input":"/d/in.part","output":"/d/out.mp4","thumbnail":"/d/out.jpg"}.
struct Request {
    std::string op;               ///< "probe", "verify", "thumbnail" or "finish".
    std::string input;            ///< Absolute path of a local file.
    std::string output;           ///< Absolute path to write the MP4 to; must not exist yet.
    std::string thumbnail;        ///< Absolute path to write the JPEG to; empty = none wanted.
    double expected_seconds = 0;  ///< The source's own idea of its duration; 0 = unknown.
    double max_seconds = 0;       ///< A longer one is refused; 0 = any.
    double tolerance = 0;         ///< Seconds that it may be off besides the 2 %.
    /// Where in the input each run of one clock and coding begins, the first at 0; empty = a plain file.
    std::vector<std::int64_t> runs;
    std::vector<Piece> pieces;  ///< What the input was put together from; empty = unknown.
    std::string audio;  ///< Absolute path of the sound's own file, with the following four; empty = none.
    double audio_seconds = 0;
    std::vector<std::int64_t> audio_runs;
    std::vector<Piece> audio_pieces;
    bool audio_apart = false;  ///< Sound and picture begin together, whatever their clocks say.
    int thumbnail_width = 640;  ///< Largest width and height of the thumbnail in pixels.
    std::int64_t cpu_seconds = 600;
    std::int64_t memory_bytes = std::int64_t{3} << 30;
    std::int64_t file_bytes = std::int64_t{64} << 30;  ///< Largest file this process may write.
};

/// Reads the request line. Unknown members are refused: they would be a wish not granted.
Result<Request> parse_request(std::string_view line);

/// Reads one line of at most 8 MiB from file descriptor 0.
Result<std::string> read_line();

/// One answer line on file descriptor 1. Ends the process when nobody reads any more.
void send(const boost::json::object& answer);
void send_error(const Error& error);

/// Sends {"type":"progress","stage","percent"}, at most four times a second.
class Progress {
public:
    explicit Progress(std::string_view stage) : stage_(stage) {}
    void at(std::int64_t done, std::int64_t total);

private:
    std::string stage_;
    std::chrono::steady_clock::time_point next_{};
    int last_ = -1;
};

}  // namespace jobruntime::helper
