// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <jobruntime/api_router.hpp>

#include "http/fd.hpp"
#include "http/places.hpp"

namespace jobruntime::http {

/// An answer ready for the socket: its head as text, then text or part of a file, or a stream that begins.
struct Reply {
    std::string head;                          ///< Status line, headers, empty line; often with a small body behind.
    std::shared_ptr<const std::string> text;   ///< The body, when it is not in `head`.
    std::shared_ptr<const Fd> file;            ///< Else the body is `file_left` bytes of it from `file_at`.
    std::int64_t file_at = 0;
    std::uint64_t file_left = 0;
    std::optional<EventStream> stream;
    Places::Place place;                       ///< Of that stream.
    bool keep_alive = true;
};

struct Wire {
    bool head_only = false;    ///< The request was HEAD.
    bool keep_alive = true;
    bool http10 = false;
};

/// Opens a FileSlice; unset when that cannot be done, and errno says why: ENOENT when the file is not what it was any more.
std::optional<Reply> to_reply(Response&& response, const Wire& wire);

std::string_view reason_phrase(int status);

}  // namespace jobruntime::http
