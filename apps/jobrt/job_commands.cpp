// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <iomanip>
#include <iostream>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/net.hpp>

#include "media_kind.hpp"

namespace jobruntime::jobrt {
namespace {

std::string subject(const Job& job) {
    for (const auto* name : {"canonicalUrl", "url"}) {
        const auto* value = job.payload.if_contains(name);
        if (value && value->is_string()) return std::string(value->get_string());
    }
    return job.unique_key;
}

std::optional<JobFilter> filter_of(const Invocation& in) {
    JobFilter filter;
    for (const auto& name : in.all("status")) {
        auto state = parse_job_state(name);
        if (!state) {
            fail(in, {Errc::invalid_argument, "INVALID_ARGUMENT",
                      "--status is scheduled, queued, running, completed, failed or canceled, not \"" + name + "\""});
            return std::nullopt;
        }
        filter.states = filter.states | StateSet{*state};
    }
    if (in.has("kind")) filter.kinds = {in.text("kind")};
    if (in.has("queue")) filter.queues = {in.text("queue")};
    filter.tag = in.text("tag");
    filter.trace_id = in.text("trace");
    return filter;
}

int list_jobs(const Invocation& in) {
    const auto limit = in.number("limit", 1, 500);
    const auto filter = filter_of(in);
    if (!limit || !filter) return host::exit_usage;
    auto store = existing_store(in);
    if (!store) return host::exit_failed;
    JobQueue queue(*store);
    auto page = queue.list(*filter, in.text("cursor"), static_cast<int>(*limit));
    if (!page) return fail(in, page.error());
    auto waiting = queue.waiting_for(page->jobs, in.config.lease);
    if (!waiting) return fail(in, waiting.error());
    if (in.has("json")) {
        boost::json::array jobs;
        for (std::size_t i = 0; i < page->jobs.size(); ++i) jobs.push_back(job_object(page->jobs[i], (*waiting)[i]));
        print_json({{"ok", true}, {"jobs", std::move(jobs)},
                    {"nextCursor", page->next_cursor.empty() ? boost::json::value(nullptr)
                                                             : boost::json::value(page->next_cursor)}});
        return host::exit_ok;
    }
    for (std::size_t i = 0; i < page->jobs.size(); ++i) {
        const auto& job = page->jobs[i];
        std::cout << job.id.str() << "  " << std::left << std::setw(9) << to_string(job.state) << "  " << std::setw(12)
                  << job.kind << "  " << to_iso(job.created_at) << "  " << subject(job);
        if (!job.errors.empty() && job.state == JobState::failed) std::cout << "  " << job.errors.back().code;
        if (!(*waiting)[i].empty()) std::cout << "  (" << (*waiting)[i] << ")";
        std::cout << "\n";
    }
    for (const auto& id : page->unreadable)
        std::cout << id.str() << "  is damaged in the store; jobs show says how, jobs delete removes it\n";
    if (page->jobs.empty() && page->unreadable.empty())
        std::cout << (page->next_cursor.empty() ? "no jobs\n" : "no jobs among those looked at\n");
    if (!page->next_cursor.empty()) std::cout << "more: --cursor " << page->next_cursor << "\n";
    return host::exit_ok;
}

/// The named job with all its parts, or an exit code after a complaint.
std::optional<Job> named_job(const Invocation& in, JobQueue& queue, const std::string& text) {
    auto id = job_id(in, text);
    if (!id) return std::nullopt;
    auto job = queue.get(*id, all_parts);
    if (job && *job) return **std::move(job);
    if (!job)
        fail(in, job.error());
    else
        fail(in, {Errc::not_found, "JOB_NOT_FOUND", "there is no job " + text + " in " + queue.store().describe()});
    return std::nullopt;
}

int show_job(const Invocation& in) {
    auto store = existing_store(in);
    if (!store) return host::exit_failed;
    JobQueue queue(*store);
    auto job = named_job(in, queue, in.text("ID"));
    if (!job) return host::exit_failed;
    auto waiting = queue.waiting_for(*job, in.config.lease);
    if (!waiting) return fail(in, waiting.error());
    auto object = job_object(*job, *waiting);
    if (in.has("json")) {
        print_json({{"ok", true}, {"job", std::move(object)}});
        return host::exit_ok;
    }
    for (const auto& member : object)
        if (!member.value().is_null())
            std::cout << std::left << std::setw(18) << std::string_view(member.key()) << " "
                      << (member.value().is_string() ? std::string(member.value().get_string())
                                                     : boost::json::serialize(member.value()))
                      << "\n";
    return host::exit_ok;
}

int why_job(const Invocation& in) {
    auto store = existing_store(in);
    if (!store) return host::exit_failed;
    JobQueue queue(*store);
    auto job = named_job(in, queue, in.text("ID"));
    if (!job) return host::exit_failed;
    auto waiting = queue.waiting_for(*job, in.config.lease);
    if (!waiting) return fail(in, waiting.error());
    std::string reason = *waiting;
    if (reason.empty() && !job->errors.empty() && job->state != JobState::completed)
        reason = job->errors.back().code + ": " + job->errors.back().message;
    if (in.has("json")) {
        print_json({{"ok", true}, {"id", job->id.str()}, {"status", to_string(job->state)},
                    {"reason", reason.empty() ? boost::json::value(nullptr) : boost::json::value(reason)}});
        return host::exit_ok;
    }
    std::cout << to_string(job->state) << (reason.empty() ? "" : ": " + reason) << "\n";
    return host::exit_ok;
}

Error refusal(const ChangeAnswer& answer, std::string_view verb) {
    if (answer.how == ChangeAnswer::How::conflict)
        return {Errc::conflict, "CONFLICT", "another job, " + answer.other.str() + ", holds its unique key"};
    return {Errc::conflict, "INVALID_STATE",
            "a job that is " + std::string(to_string(answer.state)) + " cannot be " + std::string(verb)};
}

/// One change to each of the named jobs; the exit code says whether all went well.
int change_jobs(const Invocation& in, const Change& change, std::string_view verb) {
    auto store = existing_store(in);
    if (!store) return host::exit_failed;
    JobQueue queue(*store);
    int code = host::exit_ok;
    for (const auto& text : in.all("ID")) {
        auto job = named_job(in, queue, text);
        if (!job) {
            code = host::exit_failed;
            continue;
        }
        using How = ChangeAnswer::How;
        auto wanted = change;
        // Its files are those of the result that was read here: not when it has been claimed since, and may have another.
        if (change.action == Action::remove) wanted.seen = {Seen{job->fence}};
        auto answer = change.action == Action::remove && job->state == JobState::running
                          ? Result<ChangeAnswer>(ChangeAnswer{job->id, How::invalid_state, job->state, {}})
                          : queue.change(job->id, wanted);
        if (!answer) {
            code = fail(in, answer.error());
            continue;
        }
        if (answer->how != How::done && answer->how != How::requested) {
            const bool changed = change.action == Action::remove && answer->how == How::invalid_state && answer->state != JobState::running;
            code = fail(in, changed ? Error{Errc::conflict, "CONFLICT", "the job has run since it was looked at; try again"}
                                    : refusal(*answer, verb));
            continue;
        }
        if (change.action == Action::remove && !in.has("keep-files") && job->kind == host::media_kind &&
            job->result.is_object()) {
            const auto* path = job->result.get_object().if_contains("outputPath");
            if (path && path->is_string())
                if (auto removed = net::remove_saved_files(in.config.download_dir, job->id, path->get_string()); !removed)
                    code = fail(in, removed.error());
        }
        const std::string_view outcome = answer->how == How::requested ? "cancel requested" : verb;
        if (in.has("json"))
            print_json({{"ok", true}, {"id", job->id.str()}, {"outcome", outcome}, {"status", to_string(answer->state)}});
        else
            std::cout << job->id.str() << " " << outcome << "\n";
    }
    return code;
}

}  // namespace

std::vector<Command> job_commands() {
    const host::Argument json{"--json", "Print JSON, one object a line."};
    const host::Argument ids{"ID...", "Job ids."};
    return {
        {"jobs list", "Lists jobs, newest first.",
         {{"--status STATE", "Only in this state."}, {"--kind KIND", "Only of this kind."},
          {"--queue QUEUE", "Only of this queue."}, {"--tag TAG", "Only with this tag."},
          {"--trace TRACE", "Only of this trace."}, {"--limit N", "At most so many.", "50"},
          {"--cursor CURSOR", "Go on where a list ended."}, json},
         {"jobrt jobs list --status failed", "jobrt jobs list --kind media.save --json"}, list_jobs},
        {"jobs show", "Shows all about one job.", {{"ID", "Job id."}, json},
         {"jobrt jobs show 0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f"}, show_job},
        {"jobs why", "Says why a job is not running, or why it failed.", {{"ID", "Job id."}, json},
         {"jobrt jobs why 0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f"}, why_job},
        {"jobs retry", "Runs ended jobs again, and scheduled ones now.",
         {ids, {"--fresh", "Forget the checkpoints too."}, json},
         {"jobrt jobs retry 0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f --fresh"},
         [](const Invocation& in) {
             Change change;
             change.action = Action::retry;
             change.fresh = in.has("fresh");
             return change_jobs(in, change, "retried");
         }},
        {"jobs cancel", "Cancels waiting jobs and asks running ones to stop.", {ids, json},
         {"jobrt jobs cancel 0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f"},
         [](const Invocation& in) {
             Change change;
             change.action = Action::cancel;
             return change_jobs(in, change, "canceled");
         }},
        {"jobs delete", "Deletes jobs that are not running, and their files.",
         {ids, {"--keep-files", "Leave the files."}, json},
         {"jobrt jobs delete 0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f --keep-files"},
         [](const Invocation& in) {
             Change change;
             change.action = Action::remove;
             return change_jobs(in, change, "deleted");
         }},
    };
}

}  // namespace jobruntime::jobrt
