// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "x_dl_import.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

#include <jobruntime/net.hpp>

#include "media_kind.hpp"

namespace jobruntime::host {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

/// Under this fence an imported file is named: the old application's one run of the job.
constexpr Fence imported_fence = static_cast<Fence>(1);

enum class OldState { completed, failed, canceled, unfinished };

OldState state_of(std::string status) {
    std::transform(status.begin(), status.end(), status.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    if (status == "completed" || status == "done" || status == "success") return OldState::completed;
    if (status == "failed" || status == "error") return OldState::failed;
    if (status == "canceled" || status == "cancelled") return OldState::canceled;
    return OldState::unfinished;
}

/// FNV-1a: the same text is the same number, in every version of this program.
std::uint64_t hash_of(std::string_view text, std::uint64_t seed) {
    std::uint64_t hash = 14695981039346656037ull ^ seed;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
    return hash;
}

/// A UUIDv7 made of the old job's time and id.
JobId id_of(const OldJob& old, Time created) {
    const auto ms = static_cast<std::uint64_t>(created.time_since_epoch().count());
    const std::uint64_t bits[] = {hash_of("x-dl/" + old.id, 0),
                                  hash_of("x-dl/" + old.id, 0x9e3779b97f4a7c15ull)};
    JobId id;
    for (std::size_t i = 0; i < 6; ++i) id.bytes[i] = static_cast<std::uint8_t>(ms >> (40 - 8 * i));
    for (std::size_t i = 6; i < 16; ++i)
        id.bytes[i] = static_cast<std::uint8_t>(bits[i / 8] >> (8 * (i % 8)));
    id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x70);
    id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

struct When {
    Time at;
    std::string from;  ///< Where that is from, when createdAt does not say.
};

/// A job without its time would count as the oldest of all, and be the first to be forgotten.
When made_at(const OldJob& old, Time now) {
    if (old.created_at) return {*old.created_at, ""};
    if (old.completed_at) return {*old.completed_at, "its completedAt"};
    if (old.id_time && *old.id_time <= now) return {*old.id_time, "its _id"};
    return {now, "this import"};
}

std::string cut(std::string text, std::size_t size) {
    if (text.size() <= size) return text;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
    text.resize(size);
    return text;
}

std::string code_of(const OldJob& old) {
    const auto& code = old.error_code;
    const bool plain = !code.empty() && code.size() <= limits::name &&
                       std::all_of(code.begin(), code.end(), [](unsigned char c) {
                           return std::isupper(c) || std::isdigit(c) || c == '_';
                       });
    return plain ? code : "X_DL_FAILED";
}

/// The old file that a path in the database means; nothing when there is none below the folder. The paths
/// were absolute, relative to the folder, to its parent, or URLs below /downloads/.
std::optional<fs::path> old_file(const std::string& folder, const std::string& path) {
    if (path.empty()) return std::nullopt;
    std::error_code code;
    const auto root = fs::canonical(folder, code);
    if (code) return std::nullopt;
    std::string relative = path;
    relative.erase(0, relative.find_first_not_of('/'));
    std::vector<fs::path> candidates{fs::path(path), root / relative};
    for (const std::string_view word : {"downloads/", "./downloads/"})
        if (relative.starts_with(word)) candidates.push_back(root / relative.substr(word.size()));
    // An absolute path of another machine: what lies below its own downloads folder.
    if (const auto at = path.rfind("/downloads/"); at != std::string::npos)
        candidates.push_back(root / path.substr(at + 11));
    for (const auto& candidate : candidates) {
        if (candidate.is_relative()) continue;
        const auto real = fs::canonical(candidate, code);
        if (code || !fs::is_regular_file(real, code)) continue;
        // A path that leads out of the folder is nobody's download.
        if (real.string().starts_with(root.string() + "/")) return real;
    }
    return std::nullopt;
}

bool is_video(std::string_view extension) {
    for (const std::string_view known :
         {".mp4", ".mov", ".webm", ".mkv", ".ts", ".flv", ".avi", ".mpg", ".ogv", ".wmv"})
        if (extension == known) return true;
    return false;
}

/// A second name for a file; a copy where no link can be made. True when it was made now.
Result<bool> give_name(const fs::path& from, const fs::path& to) {
    std::error_code code;
    if (fs::exists(to, code)) return false;
    fs::create_directories(to.parent_path(), code);
    fs::create_hard_link(from, to, code);
    if (!code) return true;
    const auto part = to.string() + ".part";
    fs::copy_file(from, part, fs::copy_options::overwrite_existing, code);
    if (!code) fs::rename(part, to, code);
    if (!code) return true;
    std::error_code ignored;
    fs::remove(part, ignored);
    return Error{Errc::unavailable, "FILE_NOT_LINKED",
                 from.string() + " cannot get the name " + to.string() + ": " + code.message()};
}

/// What an old job becomes.
struct Plan {
    Job job;
    std::string other_times;                  ///< What its times are when the document's own cannot be read.
    std::optional<fs::path> file, thumbnail;  ///< Of the old application.
    std::string output_path, thumbnail_path;  ///< Ours, below the download folder.
    bool missing = false;                     ///< A file is named and not there.
};

class Importing {
public:
    Importing(Store& store, Clock& clock, const ImportOptions& options)
        : store_(store), clock_(clock), options_(options) {}

    Result<ImportReport> run(const std::vector<json::object>& documents);

private:
    Result<void> take(const OldJob& old, OldState state);
    Result<Plan> plan(const OldJob& old, OldState state) const;
    void plan_files(const OldJob& old, const net::Post& post, Plan& plan) const;
    Result<void> stored(const OldJob& old, OldState state, Plan& plan);
    Result<void> place_files(const Plan& plan);
    Result<void> queue_again(const OldJob& old, const Plan& plan);
    void count(const OldJob& old, OldState state, const Plan& plan);
    void say(const std::string& line) const {
        if (options_.say) options_.say(line);
    }

    Store& store_;
    Clock& clock_;
    const ImportOptions& options_;
    ImportReport report_;
    std::set<std::string> claimed_;  ///< Unique keys that a dry run would have given away.
};

void Importing::count(const OldJob& old, OldState state, const Plan& plan) {
    if (!plan.other_times.empty()) {
        ++report_.other_times;
        say(old.id + ": its " + plan.other_times);
    }
    switch (state) {
        case OldState::completed: ++report_.completed; break;
        case OldState::failed: ++report_.failed; break;
        case OldState::canceled: ++report_.canceled; break;
        case OldState::unfinished: ++report_.resubmitted; break;
    }
}

void Importing::plan_files(const OldJob& old, const net::Post& post, Plan& plan) const {
    plan.missing = !old.output_path.empty();
    plan.file = old_file(options_.downloads, old.output_path);
    std::string extension =
        plan.file ? plan.file->extension().string() : fs::path(old.output_path).extension().string();
    if (!is_video(extension)) plan.file.reset();
    if (!is_video(extension)) extension = ".mp4";
    plan.missing = plan.missing && !plan.file;
    const auto& account = old.account_slug.empty() ? old.account_handle : old.account_slug;
    const auto base = net::slug(account, post.handle_slug.empty() ? "unknown" : post.handle_slug) + "/" +
                      plan.job.id.str() + "-" + std::to_string(static_cast<std::uint64_t>(imported_fence));
    plan.output_path = base + extension;
    plan.thumbnail = old_file(options_.downloads, old.thumbnail_path);
    if (plan.thumbnail && plan.thumbnail->extension() != ".jpg" && plan.thumbnail->extension() != ".jpeg")
        plan.thumbnail.reset();
    if (plan.thumbnail) plan.thumbnail_path = base + ".jpg";
}

Result<Plan> Importing::plan(const OldJob& old, OldState state) const {
    auto url = net::parse_url(old.tweet_url.empty() ? old.canonical_url : old.tweet_url);
    auto post = url ? net::identify(*url) : Result<net::Post>(url.error());
    if (!post && !old.canonical_url.empty()) {
        url = net::parse_url(old.canonical_url);
        if (url) post = net::identify(*url);
    }
    if (!post) return std::move(post).error();
    Plan plan;
    Job& job = plan.job;
    const auto made = made_at(old, clock_.wall());
    job.created_at = made.at;
    if (!made.from.empty())
        plan.other_times = "createdAt cannot be read; it counts as made at " + to_iso(made.at) + ", the time of " + made.from;
    else if (old.completed_at_unreadable && state != OldState::unfinished)
        plan.other_times = "completedAt cannot be read; it counts as ended at " + to_iso(made.at) + ", when it was made";
    // The same at every import, whatever its time is taken from.
    job.id = id_of(old, old.created_at.value_or(old.completed_at.value_or(Time{})));
    job.kind = std::string(media_kind);
    job.queue = std::string(media_queue);
    job.payload = {{"url", url->str()},
                   {"canonicalUrl", post->canonical},
                   {"platform", post->platform},
                   {"accountHandle", old.account_handle},
                   {"accountSlug", old.account_slug}};
    job.run_at = job.created_at;
    job.max_attempts = media_attempts;
    job.unique_key = post->unique_key;
    job.unique_states = live_states | StateSet{JobState::completed};
    job.trace_id = cut(old.trace_id, limits::trace_id);
    job.tags = {"x-dl"};
    if (state == OldState::unfinished) {
        job.state = JobState::queued;
        return plan;
    }
    job.attempt = 1;
    job.finished_at = old.completed_at.value_or(job.created_at);
    job.state = state == OldState::completed ? JobState::completed
                : state == OldState::failed  ? JobState::failed
                                             : JobState::canceled;
    if (!old.error.empty() || !old.error_code.empty())
        job.errors = {{*job.finished_at, 1, code_of(old), cut(old.error, limits::message)}};
    if (state == OldState::failed && job.errors.empty())
        job.errors = {{*job.finished_at, 1, code_of(old), "the old application gave no reason"}};
    if (state != OldState::completed) return plan;
    job.fence = imported_fence;
    plan_files(old, *post, plan);
    auto or_null = [](const std::string& text) {
        return text.empty() ? json::value(nullptr) : json::value(text);
    };
    job.result = {{"outputPath", plan.output_path},
                  {"thumbnailPath", or_null(plan.thumbnail_path)},
                  {"importedFrom", "x-dl"},
                  {"importedId", old.id},
                  {"importedPath", or_null(old.output_path)}};
    return plan;
}

Result<void> Importing::place_files(const Plan& plan) {
    const fs::path root = options_.download_dir;
    for (const auto& [from, to] :
         {std::pair{plan.file, plan.output_path}, std::pair{plan.thumbnail, plan.thumbnail_path}}) {
        if (!from) continue;
        auto made = give_name(*from, root / to);
        if (!made) {
            ++report_.missing_files;
            say(plan.job.id.str() + ": " + made.error().message);
        } else if (*made) {
            ++report_.files;
        }
    }
    return {};
}

/// Queues a failed job that was taken over, once: not when it has run here.
Result<void> Importing::queue_again(const OldJob& old, const Plan& plan) {
    auto job = store_.get(plan.job.id, 0);
    if (!job) return std::move(job).error();
    if (!*job || (*job)->state != JobState::failed || (*job)->fence != Fence::none) return {};
    Change retry;
    retry.action = Action::retry;
    auto changed = store_.change(std::vector{plan.job.id}, retry, 1, "", clock_.wall());
    if (!changed) return std::move(changed).error();
    const auto& answer = changed->answers.front();
    if (answer.how == ChangeAnswer::How::done)
        ++report_.resubmitted;
    else
        say(old.id + ": not queued again, because job " + answer.other.str() + " is about the same post");
    return {};
}

Result<void> Importing::stored(const OldJob& old, OldState state, Plan& plan) {
    const auto known = store_.get(plan.job.id, part_result);
    if (!known) return known.error();
    if (*known) {
        ++report_.known;
        // The file of a job that stands as it was taken over; an earlier run may have ended before it was
        // linked.
        if (state == OldState::completed && (*known)->result == plan.job.result) return place_files(plan);
        return state == OldState::failed && options_.resubmit ? queue_again(old, plan) : Result<void>{};
    }
    auto answers = store_.restore({&plan.job, 1}, clock_.wall());
    if (!answers) return std::move(answers).error();
    const auto& answer = answers->front();
    if (answer.refused) {
        ++report_.unreadable;
        say(old.id + ": " + answer.refused->message);
        return {};
    }
    if (answer.how != InsertAnswer::How::inserted) {
        ++report_.duplicates;
        say(old.id + ": the post is here already, as job " + answer.id.str());
        return {};
    }
    count(old, state, plan);
    if (state == OldState::completed) return place_files(plan);
    return state == OldState::failed && options_.resubmit ? queue_again(old, plan) : Result<void>{};
}

Result<void> Importing::take(const OldJob& old, OldState state) {
    if (state == OldState::unfinished && !options_.resubmit) {
        ++report_.unfinished;
        say(old.id + ": left out, it was " + cut(old.status, 40) + "; --resubmit queues it anew");
        return {};
    }
    auto made = plan(old, state);
    if (!made) {
        ++report_.unreadable;
        say(old.id + ": left out, " + made.error().message);
        return {};
    }
    if (made->missing) {
        ++report_.missing_files;
        say(old.id + ": its file " + cut(old.output_path, 300) + " is not below " + options_.downloads +
            "; the post can be saved again");
    }
    if (!options_.dry_run) return stored(old, state, *made);
    const auto known = store_.get(made->job.id, 0);
    if (!known) return known.error();
    if (*known) {
        ++report_.known;
        return {};
    }
    JobFilter same;
    same.unique_key = made->job.unique_key;
    auto others = store_.list(same, JobOrder::newest_first, "", 100, 0);
    if (!others) return std::move(others).error();
    for (const auto& other : others->jobs) {
        if (!made->job.unique_states.has(made->job.state) || !other.unique_states.has(other.state)) continue;
        ++report_.duplicates;
        say(old.id + ": the post is here already, as job " + other.id.str());
        return {};
    }
    if (made->job.unique_states.has(made->job.state) && !claimed_.insert(made->job.unique_key).second) {
        ++report_.duplicates;
        say(old.id + ": another document is about the same post");
        return {};
    }
    count(old, state, *made);
    if (state == OldState::failed && options_.resubmit) ++report_.resubmitted;
    if (made->file) ++report_.files;
    if (made->thumbnail) ++report_.files;
    return {};
}

Result<ImportReport> Importing::run(const std::vector<json::object>& documents) {
    std::vector<OldJob> jobs;
    for (const auto& document : documents) {
        ++report_.documents;
        auto job = read_old_job(document);
        if (job) {
            jobs.push_back(*std::move(job));
            continue;
        }
        ++report_.unreadable;
        say("left out: " + job.error().message);
    }
    // What is saved goes first: it decides that the same post need not be run again. Then in the order of
    // making.
    std::stable_sort(jobs.begin(), jobs.end(), [](const OldJob& a, const OldJob& b) {
        const bool a_done = state_of(a.status) == OldState::completed,
                   b_done = state_of(b.status) == OldState::completed;
        return a_done != b_done ? a_done : a.created_at < b.created_at;
    });
    for (const auto& job : jobs) JR_TRY(take(job, state_of(job.status)));
    return report_;
}

}  // namespace

Result<ImportReport> import_old_jobs(Store& store, Clock& clock, const std::vector<json::object>& documents,
                                     const ImportOptions& options) {
    return Importing(store, clock, options).run(documents);
}

}  // namespace jobruntime::host
