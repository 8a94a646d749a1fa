// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <jobruntime/job.hpp>

namespace jobruntime::mongo {

/// Notes with events whose answer was lost: nobody knows whether they were told. When one is sent again, this says so by
/// what it says, and whether it stands in the log already. When there are too many, those that were lost first are forgotten
/// first; sent again, they may be told twice. Not thread-safe.
class LostNotes {
public:
    /// Of one lost note; 0 is none.
    using Place = std::uint64_t;

    bool empty() const { return notes_.empty(); }
    /// One that says just this and that nobody else is sending again; it is the caller's until heard() or lost().
    Place sent_again(const std::string& contents);
    /// What it may have left behind: for an attempt's note the tokens that may stand in its job's document, else its key.
    std::vector<std::string> marks(Place place) const;
    /// A job's document has this token for the newest note that was told, and it is about to be overwritten.
    void saw(const JobId& job, std::string_view token);
    /// It was seen in its job's document.
    bool landed(Place place) const;
    /// Its answer has come.
    void heard(Place place);
    /// Nothing was heard of it, `place` being where it was before. `job`: of an attempt's note, else zero.
    void lost(Place place, std::string contents, const JobId& job, std::vector<std::string> marks);

private:
    struct Note {
        std::string contents;
        JobId job;
        std::vector<std::string> marks;
        bool landed = false;
        bool sent_again = false;
    };
    static std::size_t size_of(const Note& note);

    std::map<Place, Note> notes_;  // Ascending: the one lost first stands first.
    std::multimap<std::string, Place, std::less<>> by_contents_;
    std::multimap<std::pair<JobId, std::string>, Place> by_mark_;
    Place last_ = 0;
    std::size_t bytes_ = 0;
};

/// An attempt's note on its way.
struct SentNote {
    LostNotes::Place place = 0;       ///< Where it was among the lost ones.
    std::vector<std::string> tokens;  ///< Under each of which it may have been told.
};

}  // namespace jobruntime::mongo
