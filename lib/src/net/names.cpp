// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "net/names.hpp"

#include <charconv>

#include <jobruntime/net.hpp>

namespace jobruntime::net {
namespace {

constexpr std::size_t id_length = 36;

/// Digits without a leading zero: one number has one spelling.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t value = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (wrong != std::errc{} || end == text.data() || text.front() == '0' || text.front() == '-')
        return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

/// Takes "<jobId>-<fence>" from the front.
std::optional<Attempt> take_attempt(std::string_view& text) {
    if (text.size() < id_length + 2 || text[id_length] != '-') return std::nullopt;
    const auto job = JobId::parse(text.substr(0, id_length));
    if (!job || !*job || job->str() != text.substr(0, id_length)) return std::nullopt;  // Lower case only.
    text.remove_prefix(id_length + 1);
    const auto fence = take_number(text);
    if (!fence) return std::nullopt;
    return Attempt{*job, static_cast<Fence>(*fence)};
}

}  // namespace

bool is_container_ext(std::string_view ext) {
    for (const std::string_view known :
         {"mp4", "mov", "webm", "mkv", "ts", "flv", "avi", "mpg", "ogv", "wmv"})
        if (ext == known) return true;
    return false;
}

std::string attempt_name(JobId job, Fence fence) {
    return job.str() + "-" + std::to_string(static_cast<std::uint64_t>(fence));
}

std::optional<Attempt> parse_attempt(std::string_view text) {
    const auto attempt = take_attempt(text);
    return text.empty() ? attempt : std::nullopt;
}

std::string FileName::str() const {
    return attempt_name(job, fence) + (nth > 1 ? "-" + std::to_string(nth) : std::string()) + "." + ext;
}

std::optional<FileName> FileName::parse(std::string_view text) {
    const auto attempt = take_attempt(text);
    if (!attempt) return std::nullopt;
    FileName name{attempt->job, attempt->fence, 0, {}};
    if (text.starts_with('-')) {
        text.remove_prefix(1);
        const auto nth = take_number(text);
        if (!nth || *nth < 2 || *nth > 999) return std::nullopt;
        name.nth = static_cast<int>(*nth);
    }
    if (!text.starts_with('.')) return std::nullopt;
    text.remove_prefix(1);
    if (!is_container_ext(text) && text != "jpg" && text != "json") return std::nullopt;
    name.ext = text;
    return name;
}

bool is_slug(std::string_view text) { return !text.empty() && net::slug(text, {}) == text; }

std::optional<PublishedPath> parse_published(std::string_view path) {
    const auto slash = path.find('/');
    if (slash == std::string_view::npos || !is_slug(path.substr(0, slash))) return std::nullopt;
    const auto file = FileName::parse(path.substr(slash + 1));
    if (!file || !is_container_ext(file->ext)) return std::nullopt;
    return PublishedPath{std::string(path.substr(0, slash)), *file};
}

}  // namespace jobruntime::net
