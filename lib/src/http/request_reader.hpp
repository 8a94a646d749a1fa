// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <jobruntime/api_router.hpp>

namespace jobruntime::http {

struct ReaderLimits {
    std::size_t head = 8 << 10;   ///< Request line and headers together.
    std::size_t body = 1 << 20;   ///< After decoding.
    std::size_t headers = 100;
};

/// Reads one HTTP/1.1 request from bytes as they come, by RFC 9112 without its leniencies: whatever two readers could
/// take for different requests is refused. Give it more bytes with read() until it is done or has failed.
class RequestReader {
public:
    enum class State : unsigned char { line, headers, body, chunk_size, chunk_data, chunk_end, trailers, done, failed };
    struct Failure {
        int status = 400;
        std::string_view code = "BAD_REQUEST";
        std::string_view message;
    };

    explicit RequestReader(ReaderLimits limits) : limits_(limits) {}

    /// Takes what it can use from the front of `bytes`. In state done the rest belongs to the next request.
    State read(std::string& bytes);
    State state() const { return state_; }
    /// The head was read and a body is still to come.
    bool in_body() const { return state_ > State::headers && state_ < State::done; }
    /// The client waits for "100 Continue" before it sends the body. True once.
    bool take_continue();
    /// The connection may carry another request after this one.
    bool keep_alive() const { return keep_alive_; }
    bool is_http10() const { return http10_; }

    Request& request() { return request_; }
    const Failure& failure() const { return failure_; }

private:
    State fail(int status, std::string_view code, std::string_view message);
    State bad(std::string_view message) { return fail(400, "BAD_REQUEST", message); }
    bool take_line(std::string_view bytes, std::size_t& at, std::string_view& line);
    State too_long();
    State on_request_line(std::string_view line);
    State on_target(std::string_view target);
    State on_header(std::string_view line);
    State on_head_end();
    State on_body_length(std::string_view length);
    State read_connection(std::string_view value);
    State on_chunk_size(std::string_view line);
    State on_body(std::string_view bytes, std::size_t& at);
    State step(std::string_view bytes, std::size_t& at, bool& stuck);

    ReaderLimits limits_;
    State state_ = State::line;
    Request request_;
    Failure failure_;
    std::size_t head_bytes_ = 0;      ///< Of the head, then of chunk size lines and trailers since the last data.
    std::uint64_t left_ = 0;          ///< Of the body or the chunk.
    std::string authority_;           ///< Of an absolute target; it goes before the Host header.
    bool keep_alive_ = true;
    bool http10_ = false;
    bool expects_continue_ = false;
};

}  // namespace jobruntime::http
