// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <jobruntime/result.hpp>

#include "muxer.hpp"
#include "open.hpp"
#include "protocol.hpp"

namespace jobruntime::helper {

/// Sound comes in whole packets, the longest of AAC of 2,048 samples of 22,050 a second: so much nobody has to have.
inline constexpr double sound_packet = 0.1;

/// Finds where nothing of a stream plays though its pieces promise something: one that came shorter than its playlist
/// says, or empty, leaves the clock of what follows where it belongs, and a hole in front of it.
///
/// A hole is where no stream of the file goes on: sound that does tells that the picture only stands still. It lies
/// where two pieces meet, and it is longer than what the stream's own packets leave between them elsewhere, so that few
/// pictures a second, or pictures at uneven times, are no hole. Of a stream with too few packets to tell nothing is said.
/// Of pieces whose playlist has whole seconds, or that were reckoned, half a second each counts as rounded.
/// The pictures of a transport stream do not say how long they stand. Where there is no sound beside them, what their
/// container's packets are counted by must show as well that some are missing: one may stand still there.
///
/// The stream's last piece is held against its own word, for the 2 % of a long film are more than a piece. How far that word may
/// be off the others tell, each from its first picture to that of the next. One that is no further off as a part of the
/// whole is let pass: who shares a film's length out does not say where his pieces begin. Of whole seconds the way they
/// are rounded in is found out, and of those that would explain the others the one that allows the last most counts. What
/// gives every piece the same number, the last too, may have been written before anybody knew: there the container has to
/// show as well that it breaks off in the middle of something, and that others do not. Words that may be about another
/// track, and streams that do not show when they end, tell too little for this.
class Holes {
public:
    struct Kind {
        bool without_clock = false;  ///< Packets' times only count what came before: what a piece has is compared.
        /// Of a transport stream: whether packets of the picture are missing between two parts of the file.
        std::function<bool(Slice before, Slice after)> packets_lost;
        /// Whether a part of the file ends in the middle of what it says that it has.
        std::function<bool(Slice part)> breaks_off;
        bool rounded = false;   ///< Words that are not exact are of a list of whole seconds; else they were reckoned.
        bool borrowed = false;  ///< What is said of the pieces may be about another track, which ends at another moment.
    };
    Holes(const std::vector<Piece>& pieces, Kind kind) : pieces_(pieces), kind_(kind) {}

    /// The packets that follow are of a run that begins and ends there in the file.
    void begin_run(std::int64_t begin, std::int64_t end);
    /// Times are those of the finished file.
    struct Seen {
        int lane = 0;
        std::int64_t position = -1;  ///< In the file; -1 = where the one before it was.
        double begin = 0, seconds = 0;
        bool sound = false;
    };
    void add(const Seen& packet);
    /// After the last packet of a run.
    void end_run();

    struct Hole {
        double at = 0, seconds = 0;
    };
    struct Found {
        std::optional<Hole> hole;  ///< The first that is too long to be let pass.
        double seconds = 0;        ///< Of all, also of those that are not.
    };
    Found find() const;
    /// Whether the last packet tells when the stream ends. A picture that stands still is the last for long, and in a
    /// transport stream nobody says so: pictures must come at even times, and sound, where there is any, go on beside them.
    bool shows_its_end() const;

private:
    struct Jump {
        double from = 0, to = 0;
        std::size_t piece = 0, next = 0;  // On both sides of it; the same where there is only one.
        std::size_t run = 0;
    };
    struct Lane {
        bool in_run = false, sound = false;
        std::size_t first_piece = 0, piece = 0;
        double first_begin = 0, piece_begin = 0, last_begin = 0, end = 0;
        double usual = 0;  // The longest time from one packet to the next within a piece.
        double stepped = 0;
        int steps = 0;
        double least_off = 0, most_off = 0;  // By how much pieces are longer than said.
        int measured = 0;
        std::vector<Jump> jumps;
        std::vector<std::size_t> runs;  // In which it has packets.
        bool tells() const { return steps >= 5; }
    };
    std::size_t piece_at(std::int64_t position) const;
    /// What the pieces from `first` to before `last` promise, and what that may be off by where their words are not exact.
    struct Promise {
        double seconds = 0, slack = 0;
        double surely() const { return seconds - slack; }
    };
    Promise promised(std::size_t first, std::size_t last) const;
    bool pauses(std::size_t after, std::size_t until) const;
    void measure(Lane& lane, std::size_t next, double begin) const;
    void cross(Lane& lane, std::size_t to, const Seen& packet) const;
    void end(Lane& lane) const;
    std::vector<Jump> shared(std::size_t run) const;
    bool stands_still(const Jump& jump) const;
    /// Where a run ends, against what its last piece says.
    struct Ending {
        std::size_t lane = 0, piece = 0;   // The lane that tells where pieces begin, and the run's last piece.
        double at = 0;
        double missing = 0;                // Of the pieces that the lane's last packet and the run's end are in.
        double missing_in_all = 0;         // Of the run, by the sum of all that its pieces say.
        std::size_t pieces = 0;            // How many words `missing` goes by.
    };
    std::optional<Ending> ending() const;
    bool is_short(const Ending& ending) const;
    bool is_short_in_whole_seconds(const Ending& ending, double step, bool same) const;
    std::optional<double> rounded_by(const Lane& lane) const;
    bool only_it_breaks_off(std::size_t piece) const;
    Slice place_of(std::size_t piece) const { return {piece == 0 ? 0 : pieces_[piece - 1].end, pieces_[piece].end}; }

    const std::vector<Piece>& pieces_;
    const Kind kind_;
    std::size_t run_ = 0, runs_ = 0;
    std::size_t run_first_ = 0, run_last_ = 0;  // Its pieces; the second is the one behind them.
    std::vector<Lane> lanes_;
    std::optional<Ending> ending_;  // Of the latest run.
};

/// Finds a picture that ends well before the sound beside it.
class Endings {
public:
    void add(const AVPacket& packet, const AVStream& stream, bool picture);
    void end_run();
    /// WRONG_DURATION.
    Result<void> judge() const;
    /// The longest time from one picture to the next.
    double usual() const { return usual_; }

private:
    Span picture_, sound_;
    double sound_seconds_ = 0, late_ = 0;
    double last_picture_ = 0, usual_ = 0;
    std::int64_t pictures_ = 0;
    bool in_run_ = false;
};

}  // namespace jobruntime::helper
