// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/track_file.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

#include "net/folders.hpp"

namespace jobruntime::media {
namespace {

// What a power cut may cost: fetching this much again.
constexpr std::uint64_t sync_bytes = std::uint64_t{16} << 20;
constexpr std::chrono::milliseconds sync_every{1000};
constexpr std::string_view magic = "jobrt-track 3 ";

Result<void> write_all_bytes(const Fd& file, std::string_view bytes, const std::string& path) {
    while (!bytes.empty()) {
        const auto wrote = ::write(file.get(), bytes.data(), bytes.size());
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return net::folder_error(errno, "write " + path);
        bytes.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return {};
}

std::string first_line(std::uint64_t variant) {
    char text[64];
    const int length = std::snprintf(text, sizeof text, "%s%016" PRIx64 "\n", magic.data(), variant);
    return std::string(text, static_cast<std::size_t>(length));
}

std::string line_of(const TrackFile::Entry& entry) {
    char text[160];
    const int length =
        std::snprintf(text, sizeof text, "%016" PRIx64 " %" PRIu64 " %.6f %.6f %" PRIu64 " %d%d%d\n", entry.id, entry.end, entry.seconds,
                      entry.pause, entry.sequence, entry.init ? 1 : 0, entry.begins_run ? 1 : 0, entry.exact ? 1 : 0);
    return std::string(text, static_cast<std::size_t>(length));
}

template <class Number, class... Base>
bool take(std::string_view& line, Number& into, Base... base) {
    const auto [end, wrong] = std::from_chars(line.data(), line.data() + line.size(), into, base...);
    if (wrong != std::errc{}) return false;
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    if (line.starts_with(' ')) line.remove_prefix(1);
    return true;
}

std::optional<TrackFile::Entry> entry_of(std::string_view line) {
    TrackFile::Entry entry;
    if (!take(line, entry.id, 16) || !take(line, entry.end) || !take(line, entry.seconds) ||
        !take(line, entry.pause) || !take(line, entry.sequence) || line.size() != 3)
        return std::nullopt;
    entry.init = line[0] == '1';
    entry.begins_run = line[1] == '1';
    entry.exact = line[2] == '1';
    return entry;
}

Result<std::string> read_whole(const Fd& file, const std::string& path) {
    constexpr std::size_t most = std::size_t{64} << 20;
    std::string text;
    char block[64 * 1024];
    while (text.size() < most) {
        const auto got = ::read(file.get(), block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return net::folder_error(errno, "read " + path);
        if (got == 0) return text;
        text.append(block, static_cast<std::size_t>(got));
    }
    return std::string();  // No journal of ours: begin again.
}

}  // namespace

std::uint64_t hash_of(std::string_view text) noexcept {
    std::uint64_t hash = 14695981039346656037ULL;
    for (const char byte : text) {
        hash ^= static_cast<unsigned char>(byte);
        hash *= 1099511628211ULL;
    }
    return hash;
}

std::uint64_t Piece::id() const {
    std::string text = url.substr(0, url.find('?'));
    text += init ? "\ninit" : "\n" + std::to_string(sequence);
    if (range) text += "\n" + std::to_string(range->offset) + "+" + std::to_string(range->length);
    return hash_of(text);
}

Result<TrackFile> TrackFile::open(const std::string& path, std::uint64_t variant) {
    constexpr int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
    Fd data(::open(path.c_str(), flags, 0600));
    if (!data) return net::folder_error(errno, "open " + path);
    Fd journal(::open((path + ".log").c_str(), flags, 0600));
    if (!journal) return net::folder_error(errno, "open " + path + ".log");
    TrackFile file(path, std::move(data), std::move(journal), variant);
    JR_TRY(file.load());
    return file;
}

TrackFile::~TrackFile() {
    if (data_) (void)sync();  // After a stop or an error: what is there is of use to the next attempt.
}

Result<void> TrackFile::load() {
    auto text = read_whole(journal_, path_);
    if (!text) return std::move(text).error();
    const auto there = ::lseek(data_.get(), 0, SEEK_END);
    if (there < 0) return net::folder_error(errno, "read " + path_);
    std::string_view rest = *text;
    const std::string first = first_line(variant_);
    if (rest.starts_with(first)) {
        rest.remove_prefix(first.size());
        while (true) {
            const auto end = rest.find('\n');
            if (end == std::string_view::npos) break;
            const auto entry = entry_of(rest.substr(0, end));
            rest.remove_prefix(end + 1);
            const auto before = entries_.empty() ? 0 : entries_.back().end;
            if (!entry || entry->end < before || entry->end > static_cast<std::uint64_t>(there)) break;
            entries_.push_back(*entry);
        }
    }
    return cut(entries_.size());
}

Result<void> TrackFile::truncate(std::uint64_t size) {
    if (::ftruncate(data_.get(), static_cast<off_t>(size)) != 0 ||
        ::lseek(data_.get(), static_cast<off_t>(size), SEEK_SET) < 0)
        return net::folder_error(errno, "shorten " + path_);
    size_ = size;
    return {};
}

Result<void> TrackFile::cut(std::size_t count) {
    entries_.resize(std::min(count, entries_.size()));
    // The journal first: it must never vouch for bytes that are gone.
    std::string text = first_line(variant_);
    for (const auto& entry : entries_) text += line_of(entry);
    if (::ftruncate(journal_.get(), 0) != 0 || ::lseek(journal_.get(), 0, SEEK_SET) < 0)
        return net::folder_error(errno, "shorten " + path_ + ".log");
    JR_TRY(truncate(entries_.empty() ? 0 : entries_.back().end));
    unsynced_.clear();
    synced_size_ = size_;
    return write_all_bytes(journal_, text, path_ + ".log");
}

Result<void> TrackFile::append(std::string_view bytes) {
    JR_TRY(write_all_bytes(data_, bytes, path_));
    size_ += bytes.size();
    write_back_.grown(data_.get(), size_);
    return {};
}

Result<void> TrackFile::drop_unfinished() {
    const auto end = entries_.empty() ? 0 : entries_.back().end;
    return size_ == end ? Result<void>() : truncate(end);
}

Result<void> TrackFile::finish_piece(const Piece& piece) {
    entries_.push_back({.id = piece.id(),
                        .end = size_,
                        .seconds = piece.seconds,
                        .pause = piece.pause,
                        .sequence = piece.sequence,
                        .init = piece.init,
                        .begins_run = piece.begins_run,
                        .exact = piece.exact});
    unsynced_ += line_of(entries_.back());
    const bool due =
        size_ - synced_size_ >= sync_bytes || std::chrono::steady_clock::now() - synced_at_ >= sync_every;
    return due ? sync() : Result<void>();
}

Result<void> TrackFile::sync() {
    if (unsynced_.empty()) return {};
    if (::fdatasync(data_.get()) != 0) return net::folder_error(errno, "flush " + path_);
    JR_TRY(write_all_bytes(journal_, unsynced_, path_ + ".log"));
    unsynced_.clear();
    synced_size_ = size_;
    synced_at_ = std::chrono::steady_clock::now();
    return {};
}

std::vector<std::uint64_t> TrackFile::runs() const {
    std::vector<std::uint64_t> starts;
    std::uint64_t at = 0;
    for (const auto& entry : entries_) {
        if (starts.empty() || entry.begins_run) starts.push_back(at);
        at = entry.end;
    }
    return starts;
}

std::vector<StreamPiece> TrackFile::pieces() const {
    std::vector<StreamPiece> all;
    all.reserve(entries_.size());
    for (const auto& entry : entries_)
        all.push_back({.end = entry.end, .seconds = entry.seconds - entry.pause, .pause = entry.pause, .exact = entry.exact});
    return all;
}

double TrackFile::seconds() const {
    double sum = 0;
    for (const auto& entry : entries_) sum += entry.seconds;
    return sum;
}

void remove_track(const std::string& path) {
    ::unlink(path.c_str());
    ::unlink((path + ".log").c_str());
}

}  // namespace jobruntime::media
