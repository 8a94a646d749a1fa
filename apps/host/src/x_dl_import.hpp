// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <istream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/clock.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::host {

/// One document of the old application's collection `jobs`. Empty = not there.
struct OldJob {
    std::string id;               ///< Of the document, as text.
    std::optional<Time> id_time;  ///< When MongoDB made it, by its id.
    std::string tweet_url, canonical_url, status, account_handle, account_slug;
    std::optional<Time> created_at, completed_at;
    bool completed_at_unreadable = false;  ///< It is there, and says no time.
    std::string output_path, thumbnail_path, error, error_code, trace_id;
};

/// Reads a document as mongoexport writes it (extended JSON, relaxed or canonical). Errc::invalid_argument
/// says what is missing.
Result<OldJob> read_old_job(const boost::json::object& document);

/// The documents of a mongoexport file: one JSON object a line, or one array of them.
Result<std::vector<boost::json::object>> read_export(std::istream& file);

struct ImportOptions {
    std::string downloads;     ///< Where the old application's files lie.
    std::string download_dir;  ///< Where ours lie; the same file system saves the copying.
    bool dry_run = false;
    bool resubmit = false;                             ///< Unfinished and failed ones are queued anew.
    std::function<void(const std::string& line)> say;  ///< A line for each job that is not simply taken over.
};

struct ImportReport {
    std::uint64_t documents = 0;
    std::uint64_t completed = 0, failed = 0, canceled = 0;  ///< Taken over now, by what they were.
    std::uint64_t known = 0;                                ///< An earlier run has taken them over.
    std::uint64_t duplicates = 0;  ///< The same post is here already, as another job.
    std::uint64_t resubmitted = 0;
    std::uint64_t unfinished = 0;  ///< Left out: neither ended nor to be resubmitted.
    std::uint64_t unreadable = 0;  ///< Left out: no job can be made of them.
    std::uint64_t files = 0;       ///< Linked or copied now.
    std::uint64_t missing_files = 0;
    std::uint64_t other_times = 0;  ///< Taken over with a time from elsewhere, because their own could not be read.
};

/// Makes media.save jobs of old ones, with their URL, account, times, errors and files, so that a post that
/// the old application has saved is not saved again. Ids are made from the old ones: a second run changes
/// nothing. A file gets a second name (a hard link; a copy on another file system) below the download folder,
/// as finished files are named here; the old one stays. Documents that nothing can be made of are reported
/// and left out. A time that cannot be read is reported, and taken from the document's other times. An error is the store's; with a dry run only reading can fail.
Result<ImportReport> import_old_jobs(Store& store, Clock& clock,
                                     const std::vector<boost::json::object>& documents,
                                     const ImportOptions& options);

}  // namespace jobruntime::host
