// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "coverage.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace jobruntime::helper {
namespace {

// Independently coded pieces leave less than this between their sound.
constexpr double no_hole = 0.2;
// So many times what lies between a stream's packets elsewhere is no step of it any more.
constexpr double not_usual = 4;
// What a piece's duration in whole seconds may be off by.
constexpr double off_by_rounding = 0.5;
// Where a piece begins is known to a picture or two.
constexpr double about = 0.1;

}  // namespace

std::size_t Holes::piece_at(std::int64_t position) const {
    const auto at = std::ranges::upper_bound(pieces_, position, {}, &Piece::end);
    return std::min(static_cast<std::size_t>(at - pieces_.begin()), pieces_.size() - 1);
}

Holes::Promise Holes::promised(std::size_t first, std::size_t last) const {
    Promise all;
    for (auto i = first; i < last; ++i) {
        if (pieces_[i].seconds > 0 && !pieces_[i].exact) all.slack += off_by_rounding;
        all.seconds += pieces_[i].seconds + pieces_[i].pause;
    }
    return all;
}

bool Holes::pauses(std::size_t after, std::size_t until) const {
    for (auto i = after + 1; i <= until; ++i)
        if (pieces_[i].pause > 0) return true;
    return false;
}

void Holes::begin_run(std::int64_t begin, std::int64_t end) {
    run_ = runs_++;
    if (pieces_.empty()) return;
    run_first_ = piece_at(begin);
    run_last_ = end > begin ? piece_at(end - 1) + 1 : run_first_;
    // Pieces without a byte at the run's end.
    while (run_last_ < pieces_.size() && pieces_[run_last_].end == pieces_[run_last_ - 1].end) ++run_last_;
}

void Holes::add(const Seen& packet) {
    if (pieces_.empty()) return;
    const auto index = static_cast<std::size_t>(packet.lane);
    if (index >= lanes_.size()) lanes_.resize(index + 1);
    Lane& lane = lanes_[index];
    lane.sound = packet.sound;
    const double begin = packet.begin;
    const auto piece = packet.position < 0 ? (lane.in_run ? lane.piece : run_first_) : piece_at(packet.position);
    if (!lane.in_run) {
        const double before = promised(run_first_, piece).surely();
        if (before > 0) lane.jumps.push_back({begin - before, begin, run_first_, run_first_, run_});
        lane.in_run = true;
        lane.runs.push_back(run_);
        lane.first_piece = lane.piece = piece;
        lane.first_begin = lane.piece_begin = begin;
        lane.end = begin;
    } else if (piece > lane.piece) {
        cross(lane, piece, packet);
        measure(lane, piece, begin);
        lane.piece = piece;
        lane.piece_begin = begin;
    } else if (begin > lane.last_begin) {
        lane.usual = std::max(lane.usual, begin - lane.last_begin);
        lane.stepped += begin - lane.last_begin;
        ++lane.steps;
    }
    lane.last_begin = begin;
    lane.end = std::max(lane.end, begin + packet.seconds);
}

void Holes::measure(Lane& lane, std::size_t next, double begin) const {
    if (next != lane.piece + 1 || pieces_[next].pause > 0) return;
    const double off = begin - lane.piece_begin - pieces_[lane.piece].seconds;
    lane.least_off = lane.measured == 0 ? off : std::min(lane.least_off, off);
    lane.most_off = lane.measured == 0 ? off : std::max(lane.most_off, off);
    ++lane.measured;
}

void Holes::cross(Lane& lane, std::size_t to, const Seen& packet) const {
    if (pauses(lane.piece, to)) return;
    double missing = packet.begin - lane.end;
    if (kind_.without_clock) missing = promised(lane.piece, to).surely() - (packet.begin - lane.piece_begin);
    if (missing > no_hole) lane.jumps.push_back({packet.begin - missing, packet.begin, lane.piece, to, run_});
}

/// What is missing at the end shows in the playlist only. Where that has been right so far it is believed. How long the
/// last piece is nobody knows from a list of whole seconds, some of which give all pieces the same; but each has something.
void Holes::end(Lane& lane) const {
    auto last = run_last_;
    while (last > lane.piece + 1 && pieces_[last - 1].seconds <= 0) --last;
    const auto before = promised(lane.first_piece, lane.piece);
    const auto left = promised(lane.piece, last);
    if (left.slack > 0 && lane.piece + 1 >= last) return;
    // Where pieces were reckoned, one may begin up to half of its length later.
    const double shortest = 0.5 * std::max(pieces_[last - 1].seconds, left.slack > 0 ? pieces_[lane.piece].seconds : 0);
    const bool was_right =
        std::abs(before.seconds - (lane.piece_begin - lane.first_begin)) < 0.5 * shortest + before.slack;
    const double missing = left.surely() - pieces_[lane.piece].pause - (lane.end - lane.piece_begin);
    if (was_right && missing > std::max(0.5, shortest))
        lane.jumps.push_back({lane.end, lane.end + missing, last - 1, last - 1, run_});
}

void Holes::end_run() {
    ending_ = ending();
    for (auto& lane : lanes_)
        if (std::exchange(lane.in_run, false)) end(lane);
}

/// Where all streams of a run jump at once.
std::vector<Holes::Jump> Holes::shared(std::size_t run) const {
    std::optional<std::vector<Jump>> common;
    bool heard = false;
    for (const auto& lane : lanes_) {
        if (!lane.tells() || std::ranges::find(lane.runs, run) == lane.runs.end()) continue;
        heard = heard || lane.sound;
        std::vector<Jump> next;
        for (const auto& jump : lane.jumps) {
            if (jump.run != run || jump.to - jump.from <= std::max(no_hole, not_usual * lane.usual)) continue;
            if (!common) next.push_back(jump);
            for (const auto& other : common.value_or(std::vector<Jump>())) {
                const Jump both{std::max(jump.from, other.from), std::min(jump.to, other.to), other.piece, other.next, run};
                if (both.to - both.from > no_hole) next.push_back(both);
            }
        }
        common = std::move(next);
    }
    if (common && !heard) std::erase_if(*common, [this](const Jump& jump) { return stands_still(jump); });
    return common.value_or(std::vector<Jump>());
}

bool Holes::stands_still(const Jump& jump) const {
    return kind_.packets_lost && jump.next != jump.piece && !kind_.packets_lost(place_of(jump.piece), place_of(jump.next));
}

std::optional<Holes::Ending> Holes::ending() const {
    std::optional<std::size_t> told;  // By the picture, with which a piece begins, else by the sound.
    Ending found;
    double begin = 0;
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
        if (!lanes_[i].in_run) continue;
        found.at = told ? std::max(found.at, lanes_[i].end) : lanes_[i].end;
        begin = told ? std::min(begin, lanes_[i].first_begin) : lanes_[i].first_begin;
        if (!told || (lanes_[*told].sound && !lanes_[i].sound)) told = i;
    }
    if (!told || !lanes_[*told].tells()) return std::nullopt;
    const Lane& lane = lanes_[*told];
    auto behind = std::max(run_last_, lane.piece + 1);
    while (behind > lane.piece + 1 && pieces_[behind - 1].seconds <= 0) --behind;
    if (pauses(lane.piece, behind - 1)) return std::nullopt;
    found.lane = *told;
    found.piece = behind - 1;
    found.pieces = behind - lane.piece;
    // Sound that begins before the first picture is of the first piece, too.
    const double piece_begin = lane.piece == lane.first_piece ? begin : lane.piece_begin;
    found.missing = promised(lane.piece, behind).seconds - pieces_[lane.piece].pause - (found.at - piece_begin);
    found.missing_in_all = promised(lane.first_piece, behind).seconds - pieces_[lane.first_piece].pause - (found.at - begin);
    return found;
}

bool Holes::shows_its_end() const {
    // Sound that ended long before the picture's last packet is none beside it.
    constexpr double beside = 0.5;
    double usual = 0, stepped = 0, picture = 0;
    int steps = 0;
    bool seen = false;
    for (const auto& lane : lanes_) {
        if (lane.sound) continue;
        seen = true;
        usual = std::max(usual, lane.usual);
        stepped += lane.stepped;
        steps += lane.steps;
        picture = std::max(picture, lane.last_begin);
    }
    const bool silent = std::ranges::none_of(lanes_, &Lane::sound);
    const bool heard = std::ranges::any_of(lanes_, [&](const Lane& lane) { return lane.sound && lane.end > picture - beside; });
    const bool even = !seen || (steps > 0 && usual < 2 * stepped / steps);
    return even && (silent || heard);
}

bool Holes::is_short(const Ending& ending) const {
    if (!shows_its_end() || kind_.borrowed) return false;
    const Lane& lane = lanes_[ending.lane];
    const double step = std::max(lane.measured > 0 ? no_hole : 0.5, not_usual * lane.usual);
    bool exact = true, rounded = kind_.rounded, whole = true, same = true;
    for (const auto& piece : pieces_) {
        if (piece.seconds <= 0) continue;
        exact = exact && piece.exact;
        rounded = rounded && !piece.exact;
        whole = whole && piece.seconds == std::floor(piece.seconds);
        same = same && piece.seconds == pieces_[ending.piece].seconds;
    }
    if (whole && rounded) return is_short_in_whole_seconds(ending, step, same);
    if (!exact || (same && pieces_.size() > 1 && !only_it_breaks_off(ending.piece))) return false;
    const double off = std::max(std::abs(lane.least_off), std::abs(lane.most_off));
    return std::min(ending.missing, ending.missing_in_all) > step + off;
}

/// A last piece of 1 s may be a shorter one that was not to be called nothing.
bool Holes::is_short_in_whole_seconds(const Ending& ending, double step, bool same) const {
    const auto off = rounded_by(lanes_[ending.lane]);
    if (!off || pieces_[ending.piece].seconds < 2) return false;
    if (ending.missing - *off * static_cast<double>(ending.pieces) <= step) return false;
    // Of what was shared out the whole is right, to a second.
    return same ? only_it_breaks_off(ending.piece) : std::abs(ending.missing_in_all) > 1 + about;
}

/// By how much a piece may be shorter than its whole seconds, if these were rounded up, to the nearest or down.
std::optional<double> Holes::rounded_by(const Lane& lane) const {
    if (lane.measured == 0) return std::nullopt;
    for (const double shorter : {1.0, 0.5, 0.0})
        if (lane.least_off >= -shorter - about && lane.most_off <= 1 - shorter + about) return shorter;
    return std::nullopt;
}

/// Who cuts a stream wherever he is ends other pieces so, too.
bool Holes::only_it_breaks_off(std::size_t piece) const {
    constexpr int compared = 4;
    if (!kind_.breaks_off || !kind_.breaks_off(place_of(piece))) return false;
    int whole = 0;
    for (auto i = piece; i-- > 0 && whole < compared;) {
        if (pieces_[i].seconds <= 0) continue;
        if (kind_.breaks_off(place_of(i))) return false;
        ++whole;
    }
    return whole > 0;
}

Holes::Found Holes::find() const {
    Found found;
    for (std::size_t run = 0; run < runs_; ++run)
        for (const auto& jump : shared(run)) {
            const double seconds = jump.to - jump.from;
            found.seconds += seconds;
            if (!found.hole && seconds > std::max(0.5, 0.25 * pieces_[jump.piece].seconds))
                found.hole = Hole{std::max(0.0, jump.from), seconds};
        }
    if (!found.hole && ending_ && is_short(*ending_)) found.hole = Hole{std::max(0.0, ending_->at), ending_->missing};
    return found;
}

void Endings::add(const AVPacket& packet, const AVStream& stream, bool picture) {
    if (!picture) {
        if (stream.codecpar->codec_type == AVMEDIA_TYPE_AUDIO) sound_.add(packet, stream);
        return;
    }
    picture_.add(packet, stream);
    ++pictures_;
    const auto at = packet.dts != AV_NOPTS_VALUE ? packet.dts : packet.pts;
    if (at == AV_NOPTS_VALUE) return;
    const double begin = static_cast<double>(at) * av_q2d(stream.time_base);
    if (std::exchange(in_run_, true)) usual_ = std::max(usual_, begin - last_picture_);
    last_picture_ = begin;
}

void Endings::end_run() {
    sound_seconds_ += sound_.seconds();
    if (sound_.seconds() > 0 && picture_.last > picture_.first) late_ += std::max(0.0, sound_.last - picture_.last);
    picture_ = sound_ = {};
    in_run_ = false;
}

Result<void> Endings::judge() const {
    // A cover stands as long as the sound lasts, and so may the last of a few pictures.
    const double allowed = std::max({std::clamp(0.25 * sound_seconds_, 1.0, 5.0), 0.02 * sound_seconds_, not_usual * usual_});
    if (pictures_ < 5 || late_ <= allowed) return {};
    return Error{Errc::corrupt, "WRONG_DURATION",
                 "the picture ends " + std::to_string(late_) + " s before the sound, which has " +
                     std::to_string(sound_seconds_) + " s; download it again"};
}

}  // namespace jobruntime::helper
