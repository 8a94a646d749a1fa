// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

Result<void> one_job_one_story(Bench& bench) {
    NewJob job = bench.job();
    job.trace_id = "trace";
    bench.add(job);
    bench.end(bench.claim_one(), Verdict::retry);
    bench.now += 1h;
    must(bench.store().tend({}, 10, bench.now));
    bench.end(bench.claim_one(), Verdict::completed);
    bench.change(job.id, Action::remove);
    const std::vector<std::string> wanted{"jobs.create.queued",   "worker.job.claimed",   "worker.job.retry_scheduled",
                                          "jobs.promoted",        "worker.job.claimed",   "worker.job.completed",
                                          "jobs.deleted"};
    JR_EXPECT(bench.event_names(job.id) == wanted);
    const std::string_view states[] = {"queued", "running", "scheduled", "queued", "running", "completed", "completed"};
    const std::string_view attempts[] = {"0", "1", "1", "1", "2", "2", "2"};
    const auto events = bench.events_of(job.id);
    for (std::size_t i = 0; i < events.size(); ++i) {
        JR_EXPECT(events[i].job == job.id);
        JR_EXPECT(events[i].trace_id == "trace");
        JR_EXPECT(events[i].source == "bench");
        JR_EXPECT(events[i].role == "worker");
        JR_EXPECT(field(events[i], "kind") == "test.a");
        JR_EXPECT(field(events[i], "queue") == "default");
        JR_EXPECT(field(events[i], "status") == states[i]);
        JR_EXPECT(field(events[i], "attempt") == attempts[i]);
    }
    return {};
}

Result<void> every_event_once(Bench& bench) {
    std::vector<NewJob> jobs;
    for (int i = 0; i < 30; ++i) jobs.push_back(bench.job());
    must(bench.store().insert(jobs, noon));
    for (const auto& job : bench.claim(30).jobs) bench.end(job, Verdict::completed);
    for (const int limit : {1, 7, 90, 1000}) {
        EventId last = 0;
        std::size_t seen = 0;
        std::size_t pages = 0;
        while (true) {
            const auto page = must(bench.store().events(last, {}, limit));
            JR_EXPECT(!page.truncated);
            JR_EXPECT(page.events.size() <= static_cast<std::size_t>(limit));
            for (const auto& event : page.events) {
                JR_EXPECT(event.id > last);
                JR_EXPECT(event.id < (EventId{1} << 53));
                last = event.id;
                ++seen;
            }
            JR_EXPECT(page.next == last);
            JR_EXPECT(++pages <= 91);
            if (page.events.size() < static_cast<std::size_t>(limit)) break;
        }
        JR_EXPECT(seen == 90);
    }
    return {};
}

Result<void> filters(Bench& bench) {
    NewJob a = bench.job();
    a.trace_id = "trace-a";
    NewJob b = bench.job();
    b.trace_id = "trace-b";
    bench.add(a);
    bench.add(b);
    for (const auto& job : bench.claim(2).jobs) bench.end(job, job.id == a.id ? Verdict::failed : Verdict::completed);
    EventFilter filter;
    JR_EXPECT(bench.events(filter).size() == 6);
    filter.job = a.id;
    JR_EXPECT(bench.events(filter).size() == 3);
    filter = {};
    filter.trace_id = "trace-b";
    JR_EXPECT(bench.events(filter).size() == 3);
    filter = {};
    filter.level = Level::error;
    const auto failed = only(bench.events(filter));
    JR_EXPECT(failed.job == a.id);
    JR_EXPECT(failed.name == "worker.job.failed");
    filter.level = Level::info;
    JR_EXPECT(bench.events(filter).size() == 5);
    filter = {};
    filter.name_prefix = "worker.job.c";
    JR_EXPECT(bench.events(filter).size() == 3);
    filter.name_prefix = "worker_job";
    JR_EXPECT(bench.events(filter).empty());
    filter = {};
    filter.job = b.id;
    filter.name_prefix = "jobs.";
    JR_EXPECT(only(bench.events(filter)).name == "jobs.create.queued");
    const auto newest = must(bench.store().events(std::nullopt, {}, 1));
    filter.name_prefix = "nothing";
    JR_EXPECT(must(bench.store().events(EventId{0}, filter, 5)).next == last_of(newest.events).id);
    return {};
}

/// What JobQueue gives a job that comes without a trace id.
Result<void> digits_of_the_id(Bench& bench) {
    std::vector<NewJob> jobs{bench.job(), bench.job(), bench.job()};
    for (auto& job : jobs) {
        job.trace_id = job.id.str();
        std::erase(job.trace_id, '-');
    }
    const auto& wanted = jobs[1];
    jobs[2].trace_id = jobs[0].trace_id;  // Another job's digits are a trace id like any other.
    must(bench.store().insert(jobs, noon));
    for (const auto& job : bench.claim(3).jobs) {
        JR_EXPECT(job.trace_id == jobs[job.id == wanted.id ? 1 : 0].trace_id);
        bench.end(job, Verdict::completed);
    }
    JobFilter of_trace;
    of_trace.trace_id = wanted.trace_id;
    JR_EXPECT(only(must(bench.store().list(of_trace, JobOrder::newest_first, {}, 10, 0)).jobs).id == wanted.id);
    of_trace.trace_id = jobs[0].trace_id;
    JR_EXPECT(must(bench.store().list(of_trace, JobOrder::newest_first, {}, 10, 0)).jobs.size() == 2);
    EventFilter events_of_trace;
    events_of_trace.trace_id = jobs[0].trace_id;
    JR_EXPECT(bench.events(events_of_trace).size() == 6);
    bench.change(wanted.id, Action::remove);
    events_of_trace.trace_id = wanted.trace_id;
    const auto story = bench.events(events_of_trace);
    JR_EXPECT(story.size() == 4);
    for (const auto& event : story) {
        JR_EXPECT(event.job == wanted.id);
        JR_EXPECT(event.trace_id == wanted.trace_id);
    }
    return {};
}

Result<void> the_last_ones(Bench& bench) {
    auto page = must(bench.store().events(std::nullopt, {}, 5));
    JR_EXPECT(page.events.empty());
    JR_EXPECT(page.oldest == 0);
    JR_EXPECT(!page.truncated);
    const auto start = page.next;
    for (int i = 0; i < 8; ++i) bench.add();
    page = must(bench.store().events(std::nullopt, {}, 5));
    const auto all = bench.events();
    JR_EXPECT(all.size() == 8);
    JR_EXPECT(page.events.size() == 5);
    JR_EXPECT(page.events == std::vector<Event>(all.end() - 5, all.end()));
    JR_EXPECT(page.next == all.back().id);
    JR_EXPECT(page.oldest == all.front().id);
    page = must(bench.store().events(start, {}, 100));
    JR_EXPECT(page.events == all);
    JR_EXPECT(code_of(bench.store().events(std::nullopt, {}, 0)) == Errc::invalid_argument);
    return {};
}

Result<void> truncation(Bench& bench) {
    for (int i = 0; i < 10; ++i) bench.add();
    const auto all = bench.events();
    JR_EXPECT(all.size() == 10);
    JR_EXPECT(!must(bench.store().events(EventId{0}, {}, 5)).truncated);
    Retention retention;
    retention.event_count = 4;
    must(bench.store().tend(retention, 100, noon));
    const auto truncated = [&](EventId after) { return must(bench.store().events(after, {}, 100)).truncated; };
    JR_EXPECT(truncated(0));
    JR_EXPECT(truncated(all[2].id));
    JR_EXPECT(truncated(all[4].id));
    JR_EXPECT(!truncated(all[5].id));
    JR_EXPECT(!truncated(all[9].id));
    JR_EXPECT(truncated(all[9].id + 1));
    auto page = must(bench.store().events(all[1].id, {}, 2));
    JR_EXPECT(page.oldest == all[6].id);
    JR_EXPECT(page.events.size() == 2);
    JR_EXPECT(page.events[0].id == all[6].id);
    page = must(bench.store().events(all[9].id + 1000, {}, 100));
    JR_EXPECT(page.events.size() == 4);
    JR_EXPECT(page.next == all[9].id);
    bench.reopen();
    JR_EXPECT(truncated(all[2].id));
    JR_EXPECT(!truncated(all[5].id));
    bench.add();
    JR_EXPECT(bench.events().size() == 5);
    JR_EXPECT(last_of(bench.events()).id > all[9].id);
    return {};
}

Result<void> an_empty_log(Bench& bench) {
    bench.add();
    const auto last = last_of(bench.events()).id;
    Retention retention;
    retention.event_count = 0;
    must(bench.store().tend(retention, 100, noon));
    bench.reopen();
    auto page = must(bench.store().events(last, {}, 10));
    JR_EXPECT(!page.truncated);
    JR_EXPECT(page.events.empty());
    JR_EXPECT(page.oldest == 0);
    JR_EXPECT(page.next >= last);
    page = must(bench.store().events(EventId{0}, {}, 10));
    JR_EXPECT(page.truncated);
    JR_EXPECT(page.next >= last);
    JR_EXPECT(!must(bench.store().events(page.next, {}, 10)).truncated);
    bench.add();
    JR_EXPECT(only(must(bench.store().events(page.next, {}, 10)).events).id > last);
    return {};
}

}  // namespace

void add_event_cases(Cases& cases) {
    cases.add("the events of a job tell its story in order, with its kind, queue, status, attempt and trace, also "
              "after it was deleted",
              one_job_one_story);
    cases.add("every event is read once and in order, whatever the page", every_event_once);
    cases.add("events are chosen by job, trace, level and name", filters);
    cases.add("a trace id that is the digits of the job's id finds the job and its events, also when it is gone",
              digits_of_the_id);
    cases.add("without a position the last events are read", the_last_ones);
    cases.add("a position before what is kept, or after what there is, is told as truncated", truncation);
    cases.add("a log that was emptied still knows where it stands", an_empty_log);
}

}  // namespace jobruntime::testing::contract
