// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/media.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/subprocess.hpp>

#include "core/write_back_linux.hpp"
#include "media/stream_media.hpp"

namespace jobruntime::media {

/// One thing to fetch and to put behind the one before it.
struct Piece {
    std::string url;
    std::optional<ByteRange> range;
    std::optional<SegmentKey> key;
    double seconds = 0;           ///< With the pause before it.
    double pause = 0;             ///< As in StreamSegment.
    std::uint64_t sequence = 0;
    bool init = false;            ///< An initialization section: no time of its own.
    bool begins_run = false;      ///< Does not go on with the clock and coding of the piece before.
    bool may_be_missing = false;  ///< As in StreamSegment, and so is the next.
    bool exact = false;

    /// The same for the same piece under another signature (query). FNV-1a, 64 bits. An initialization
    /// section is the same wherever a live playlist begins at that moment.
    std::uint64_t id() const;
};

/// The pieces of one track in one file, with a journal beside it (`<path>.log`) that says what is in it: a
/// later attempt goes on behind the last piece that was synced. One thread at a time.
class TrackFile {
public:
    struct Entry {
        std::uint64_t id = 0;
        std::uint64_t end = 0;  ///< Of the piece in the file.
        double seconds = 0;
        double pause = 0;
        std::uint64_t sequence = 0;
        bool init = false;
        bool begins_run = false;
        bool exact = false;
    };

    /// Opens or makes it. What the journal does not vouch for is cut off, and so is everything of another
    /// `variant`: pieces of two may share their addresses but for the query, and never a file.
    static Result<TrackFile> open(const std::string& path, std::uint64_t variant = 0);
    TrackFile(TrackFile&&) noexcept = default;
    TrackFile& operator=(TrackFile&&) = delete;
    ~TrackFile();

    const std::vector<Entry>& entries() const noexcept { return entries_; }
    /// With the bytes of a piece that is not finished.
    std::uint64_t size() const noexcept { return size_; }
    /// Where the runs begin.
    std::vector<std::uint64_t> runs() const;
    std::vector<StreamPiece> pieces() const;
    double seconds() const;

    /// Keeps the first `count` pieces only.
    Result<void> cut(std::size_t count);
    Result<void> append(std::string_view bytes);
    /// Takes back the bytes since the last finished piece.
    Result<void> drop_unfinished();
    Result<void> finish_piece(const Piece& piece);
    /// Everything on disk, the journal after the bytes it vouches for.
    Result<void> sync();

private:
    TrackFile(std::string path, Fd data, Fd journal, std::uint64_t variant)
        : path_(std::move(path)), data_(std::move(data)), journal_(std::move(journal)), variant_(variant) {}
    Result<void> load();
    Result<void> truncate(std::uint64_t size);

    std::string path_;
    Fd data_, journal_;
    std::uint64_t variant_;
    std::vector<Entry> entries_;
    std::uint64_t size_ = 0;
    std::string unsynced_;  // Lines of pieces that may not be on disk yet.
    std::uint64_t synced_size_ = 0;
    core::WriteBack write_back_;
    std::chrono::steady_clock::time_point synced_at_ = std::chrono::steady_clock::now();
};

/// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
std::uint64_t hash_of(std::string_view text) noexcept;

/// Removes a track's file and journal.
void remove_track(const std::string& path);

}  // namespace jobruntime::media
