// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What people and programs look at: jobs and counts.
#include <algorithm>

#include "core/bounds.hpp"
#include "mongo/filter.hpp"
#include "mongo/store.hpp"

namespace jobruntime::mongo {

using Where = Server::Where;

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

Result<JobPage> MongoStore::list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                                 unsigned parts) {
    const auto most = core::check_limit(limit, "the limit of a list");
    if (!most) return most.error();
    const auto from = read_cursor(cursor);
    if (!from) return from.error();
    const auto read_page = [&]() -> Result<JobPage> {
        auto wanted = filter_of(filter);
        if (*from) continue_after(wanted, **from, order);
        if (const auto skipped = parts_->jobs.skipped()) wanted.doc("_id", Doc().list("$nin", *skipped));
        auto docs = parts_->server.find(Where::jobs, {.filter = std::move(wanted),
                                                      .order = creation_order(order),
                                                      .fields = fields_of_parts(parts),
                                                      .limit = *most + 1});
        if (!docs) return std::move(docs).error();
        JobPage page;
        for (const auto& doc : *docs) {
            auto job = read_job(doc, parts);
            if (!job) {
                parts_->jobs.skip(doc, job.error());
                continue;
            }
            if (page.jobs.size() == static_cast<std::size_t>(*most)) break;
            page.jobs.push_back(*std::move(job));
        }
        const bool more = docs->size() > static_cast<std::size_t>(*most);
        if (more && page.jobs.empty())
            return Error{Errc::corrupt, "NOTHING_BUT_NONSENSE", "a page without a job"};
        if (more) page.next_cursor = write_cursor(page.jobs.back());
        return page;
    };
    while (true) {
        auto page = again(read_page);
        // What made no sense is known now, and left out of the next look.
        if (page || page.error().name != "NOTHING_BUT_NONSENSE") return page;
    }
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
