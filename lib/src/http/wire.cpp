// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/wire.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <iterator>
#include <utility>

#include "core/failpoint.hpp"

namespace jobruntime::http {
namespace {

constexpr std::size_t small_body = 64 << 10;

/// What only the host may say, in whatever case a program's own route writes it.
bool is_framing(std::string_view name) {
    constexpr std::string_view ours[] = {"content-length", "connection", "transfer-encoding", "date"};
    const auto same = [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a + 32 == b); };
    return std::ranges::any_of(ours, [&](std::string_view known) {
        return name.size() == known.size() && std::equal(name.begin(), name.end(), known.begin(), same);
    });
}

/// A route's header can never end the line it stands on.
void append_header(std::string& head, std::string_view name, std::string_view value) {
    constexpr auto is_end = [](char c) { return c == '\r' || c == '\n' || c == '\0'; };
    const auto add = [&](std::string_view text) {
        if (std::ranges::none_of(text, is_end)) head += text;
        else std::ranges::remove_copy_if(text, std::back_inserter(head), is_end);
    };
    add(name);
    head += ": ";
    add(value);
    head += "\r\n";
}

std::string date_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    // Not strftime: the host program's locale must not reach the wire. By hand: every answer has one.
    std::string text = "___, 00 ___ 0000 00:00:00 GMT";
    const auto put = [&text](std::size_t end, int number) {
        for (; number > 0; number /= 10) text[end--] = static_cast<char>('0' + number % 10);
    };
    text.replace(0, 3, days[parts.tm_wday]);
    put(6, parts.tm_mday);
    text.replace(8, 3, months[parts.tm_mon]);
    put(15, parts.tm_year + 1900);
    put(18, parts.tm_hour);
    put(21, parts.tm_min);
    put(24, parts.tm_sec);
    return text;
}

/// Without it, errno says why.
Fd open_file(const std::string& path) {
    if (JOBRT_FAILPOINT("http.open")) return {};  // Which sets errno.
    return Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

/// Opens it and checks that what was promised is there; false: errno says why not.
bool open_slice(const FileSlice& slice, Reply& reply) {
    Fd file = open_file(slice.path);
    if (!file) return false;
    struct stat facts {};
    const bool known = fstat(file.get(), &facts) == 0 && S_ISREG(facts.st_mode);
    if (!known || static_cast<std::uint64_t>(facts.st_size) < slice.offset + slice.length) {
        errno = ENOENT;
        return false;
    }
    reply.file = std::make_shared<const Fd>(std::move(file));
    reply.file_at = static_cast<std::int64_t>(slice.offset);
    reply.file_left = slice.length;
    return true;
}

bool has_no_body(int status) { return status == 204 || status == 304 || status < 200; }

}  // namespace

std::string_view reason_phrase(int status) {
    switch (status) {
        case 200: return "OK";
        case 201: return "Created";
        case 202: return "Accepted";
        case 204: return "No Content";
        case 206: return "Partial Content";
        case 301: return "Moved Permanently";
        case 302: return "Found";
        case 303: return "See Other";
        case 304: return "Not Modified";
        case 307: return "Temporary Redirect";
        case 308: return "Permanent Redirect";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 409: return "Conflict";
        case 412: return "Precondition Failed";
        case 413: return "Content Too Large";
        case 414: return "URI Too Long";
        case 415: return "Unsupported Media Type";
        case 416: return "Range Not Satisfiable";
        case 417: return "Expectation Failed";
        case 421: return "Misdirected Request";
        case 422: return "Unprocessable Content";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 503: return "Service Unavailable";
        case 504: return "Gateway Timeout";
        case 505: return "HTTP Version Not Supported";
        case 507: return "Insufficient Storage";
        default: return "";  // RFC 9112, 4: the phrase may be empty.
    }
}

std::optional<Reply> to_reply(Response&& response, const Wire& wire) {
    Reply reply;
    std::uint64_t length = 0;
    if (auto* text = std::get_if<std::string>(&response.body)) length = text->size();
    else if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body)) length = *shared ? (*shared)->size() : 0;
    else if (auto* slice = std::get_if<FileSlice>(&response.body)) {
        if (!open_slice(*slice, reply)) return std::nullopt;
        length = slice->length;
    } else if (!wire.head_only) {
        reply.stream = std::get<EventStream>(response.body);
    }
    const bool endless = std::holds_alternative<EventStream>(response.body);
    reply.keep_alive = wire.keep_alive && !endless;

    reply.head.reserve(512 + (length < small_body ? length : 0));
    reply.head += "HTTP/1.1 ";
    reply.head += std::to_string(response.status);
    reply.head += ' ';
    reply.head += reason_phrase(response.status);
    reply.head += "\r\n";
    for (const auto& [name, value] : response.headers)
        if (!is_framing(name)) append_header(reply.head, name, value);
    append_header(reply.head, "date", date_now());
    if (!endless && !has_no_body(response.status)) append_header(reply.head, "content-length", std::to_string(length));
    if (!reply.keep_alive) append_header(reply.head, "connection", "close");
    else if (wire.http10) append_header(reply.head, "connection", "keep-alive");
    reply.head += "\r\n";

    if (wire.head_only || has_no_body(response.status)) {
        reply.file.reset();
        reply.file_left = 0;
    } else if (auto* text = std::get_if<std::string>(&response.body)) {
        if (text->size() <= small_body) reply.head += *text;
        else reply.text = std::make_shared<const std::string>(std::move(*text));
    } else if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body)) {
        reply.text = std::move(*shared);
    }
    return reply;
}

}  // namespace jobruntime::http
