// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What people and programs look at: jobs and counts.
#include <algorithm>

#include "core/bounds.hpp"
#include "mongo/filter.hpp"
#include "mongo/store.hpp"

namespace jobruntime::mongo {

Result<std::optional<Job>> MongoStore::get(JobId id, unsigned parts) {
    return again([&]() -> Result<std::optional<Job>> {
        const auto found = parts_->server.find(
            Where::jobs,
            {.filter = std::move(Doc().text("_id", id.str())), .fields = fields_of_parts(parts), .limit = 1});
        if (!found) return found.error();
        if (found->empty() || View(found->front()).text_or("status") == "deleted")
            return std::optional<Job>{};
        auto job = read_job(found->front(), parts);
        if (!job) return std::move(job).error();
        return std::optional<Job>(*std::move(job));
    });
}

namespace {

constexpr int most_looks = 20;  ///< At documents without sense, for one page.
constexpr int look_again = 500;

/// A page in the making, which remembers how far it has read.
struct Reading {
    JobPage page{};
    std::optional<Position> from{};  ///< The document that was read last.
    bool only_dated = false;         ///< What has no creation time, and stands in front, is behind us.
    bool more = false;

    Doc beyond(Doc filter, JobOrder order) const {
        if (from)
            continue_after(filter, *from, order);
        else if (only_dated)
            filter.doc("createdAt", Doc().text("$type", "date"));
        return filter;
    }

    void passed(const View& doc) {
        if (const auto created = doc.time("createdAt"))
            from = Position{*created, doc.text_or("_id")};
        else
            only_dated = true;
    }
};

}  // namespace

/// Goes on behind documents that make no sense, until the page is full, nothing is left, or there are so many
/// of them that the caller has to come again.
Result<JobPage> MongoStore::list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                                 unsigned parts) {
    const auto checked = core::check_limit(limit, "the limit of a list");
    if (!checked) return checked.error();
    const auto most = static_cast<std::size_t>(*checked);
    const auto given = read_cursor(cursor);
    if (!given) return given.error();
    return again([&]() -> Result<JobPage> {
        Reading reading{.from = *given};
        auto& page = reading.page;
        int ask = *checked + 1;
        for (int look = 0; look < most_looks; ++look) {
            auto docs = parts_->server.find(Where::jobs, {.filter = reading.beyond(filter_of(filter), order),
                                                          .order = creation_order(order),
                                                          .fields = fields_of_parts(parts),
                                                          .limit = ask});
            if (!docs) return std::move(docs).error();
            reading.more = docs->size() == static_cast<std::size_t>(ask);
            for (const auto& doc : *docs) {
                auto job = read_job(doc, parts);
                if (!job) {
                    parts_->jobs.skip(job.error());
                } else if (page.jobs.size() == most) {
                    reading.more = true;
                    break;
                } else {
                    page.jobs.push_back(*std::move(job));
                }
                reading.passed(doc);
            }
            if (page.jobs.size() == most || !reading.more) break;
            ask = std::max(ask, look_again);
        }
        if (reading.more && reading.from) page.next_cursor = write_cursor(*reading.from);
        return std::move(page);
    });
}

namespace {

std::optional<std::string> group_key(CountBy by) {
    if (by == CountBy::kind) return "$kind";
    if (by == CountBy::queue || by == CountBy::queue_and_state) return "$queue";
    return std::nullopt;
}

Doc count_pipeline(const JobFilter& filter, CountBy by) {
    Doc key;
    if (const auto name = group_key(by)) key.text("key", *name);
    if (by == CountBy::state || by == CountBy::queue_and_state) key.text("state", "$status");
    // {$cond: [{$in: ["$status", ["scheduled", "queued"]]}, "$runAt", null]}
    Doc waits, branches, group;
    waits.text("0", "$status").list("1", names_of({JobState::scheduled, JobState::queued}));
    branches.doc("0", Doc().list("$in", waits)).text("1", "$runAt").null("2");
    group.doc("_id", key).doc("count", Doc().integer("$sum", 1));
    group.doc("oldest", Doc().doc("$min", Doc().list("$cond", branches)));
    List stages;
    stages.doc(Doc().doc("$match", filter_of(filter))).doc(Doc().doc("$group", group));
    return std::move(Doc().list("pipeline", stages.made()));
}

}  // namespace

Result<std::vector<CountRow>> MongoStore::count(const JobFilter& filter, CountBy by) {
    return again([&]() -> Result<std::vector<CountRow>> {
        const auto groups = parts_->server.aggregate(Where::jobs, count_pipeline(filter, by));
        if (!groups) return groups.error();
        std::vector<CountRow> rows;
        for (const auto& doc : *groups) {
            const View group(doc);
            const auto key = group.doc("_id");
            CountRow row;
            if (key && group_key(by)) row.key = key->text_or("key");
            if (key && key->has("state")) row.state = parse_job_state(key->text_or("state"));
            row.count = static_cast<std::uint64_t>(group.number("count").value_or(0));
            row.oldest = group.time("oldest");
            rows.push_back(std::move(row));
        }
        if (rows.empty() && by == CountBy::nothing) rows.emplace_back();
        std::sort(rows.begin(), rows.end(), [](const CountRow& a, const CountRow& b) {
            return std::tie(a.key, a.state) < std::tie(b.key, b.state);
        });
        return rows;
    });
}

}  // namespace jobruntime::mongo
