// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <boost/json/serialize.hpp>

#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

void add_insert_cases(Cases& cases) {
    cases.add("a job reads back as it was written", [](Bench& bench) -> Result<void> {
        NewJob job = bench.job("mail.welcome");
        job.queue = "mail";
        job.payload = R"({"to":"ada@example.org","copies":[1,2.5,null,true],"deep":{"er":{}}})";
        job.priority = -5;
        job.run_at = noon - 3s;
        job.max_attempts = 7;
        job.unique_key = "welcome:ada";
        job.unique_states = {JobState::completed};
        job.idempotency_key = "request-1";
        job.idempotency_hash = "hash-1";
        job.trace_id = "trace-1";
        job.tags = {"b", "a", "b"};
        bench.add(job);
        const Job read = bench.get(job.id);
        JR_EXPECT(read.id == job.id);
        JR_EXPECT(read.kind == job.kind);
        JR_EXPECT(read.queue == job.queue);
        JR_EXPECT(read.payload.at("to") == "ada@example.org");
        JR_EXPECT(read.payload.at("copies").as_array().size() == 4);
        JR_EXPECT(read.payload.at("deep").as_object().contains("er"));
        JR_EXPECT(read.state == JobState::queued);
        JR_EXPECT(read.priority == -5);
        JR_EXPECT(read.run_at == job.run_at);
        JR_EXPECT(read.attempt == 0);
        JR_EXPECT(read.max_attempts == 7);
        JR_EXPECT(read.crashes == 0);
        JR_EXPECT(!read.session);
        JR_EXPECT(read.unique_key == job.unique_key);
        JR_EXPECT(read.unique_states.bits == (live_states | StateSet{JobState::completed}).bits);
        JR_EXPECT(read.idempotency_key == job.idempotency_key);
        JR_EXPECT(read.trace_id == job.trace_id);
        JR_EXPECT(read.tags == job.tags);
        JR_EXPECT(read.result.is_null());
        JR_EXPECT(read.errors.empty());
        JR_EXPECT(read.steps.empty());
        JR_EXPECT(read.wait_reason == "");
        JR_EXPECT(read.created_at == noon);
        JR_EXPECT(!read.started_at);
        JR_EXPECT(!read.finished_at);
        JR_EXPECT(!read.cancel_requested_at);
        return {};
    });

    cases.add("a payload that could not be read again is refused alone", [](Bench& bench) -> Result<void> {
        const std::string deep = R"({"a":)" + std::string(32, '[') + std::string(32, ']') + "}";
        const std::string_view bad[] = {"", "[]", "7", "{", R"({"a":NaN})", "{\"a\":\"caf\xe9\"}", "{\"\xc3\":1}", deep};
        for (const auto payload : bad) {
            std::vector<NewJob> jobs{bench.job(), bench.job(), bench.job()};
            jobs[1].payload = payload;
            const auto answers = must(bench.store().insert(jobs, bench.now));
            JR_EXPECT(answers.size() == 3u);
            JR_EXPECT(!answers[0].refused);
            JR_EXPECT(answers[1].refused.has_value());
            JR_EXPECT(answers[1].refused->code == Errc::invalid_argument);
            JR_EXPECT(!answers[2].refused);
            const auto claimed = bench.claim(3).jobs;
            JR_EXPECT(claimed.size() == 2u);
            JR_EXPECT(claimed[0].id == jobs[0].id);
            JR_EXPECT(claimed[1].id == jobs[2].id);
            JR_EXPECT(must(bench.store().list({}, JobOrder::oldest_first, "", 100, all_parts)).unreadable.empty());
        }
        return {};
    });

    cases.add("a job outlives the store that took it", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        const auto before = bench.get(id);
        bench.reopen();
        JR_EXPECT(bench.get(id) == before);
        return {};
    });

    cases.add("a job for later is scheduled, one for now or before is queued", [](Bench& bench) -> Result<void> {
        const std::pair<Time, JobState> rows[] = {{noon - 1ms, JobState::queued},
                                                  {noon, JobState::queued},
                                                  {noon + 1ms, JobState::scheduled}};
        for (const auto& [run_at, state] : rows) {
            auto job = bench.job();
            job.run_at = run_at;
            JR_EXPECT(bench.insert(job).state == state);
            JR_EXPECT(bench.get(job.id).state == state);
        }
        return {};
    });

    cases.add("an id that is known answers inserted and changes nothing", [](Bench& bench) -> Result<void> {
        NewJob job = bench.job();
        bench.add(job);
        const auto before = bench.get(job.id);
        const auto events = bench.events().size();
        job.payload = R"({"other":1})";
        job.queue = "other";
        bench.now += 1min;
        const auto again = bench.insert(job);
        JR_EXPECT(!again.refused);
        JR_EXPECT(again.how == InsertAnswer::How::inserted);
        JR_EXPECT(again.id == job.id);
        JR_EXPECT(bench.get(job.id) == before);
        JR_EXPECT(bench.events().size() == events);
        return {};
    });

    cases.add("an id twice in one batch is one job", [](Bench& bench) -> Result<void> {
        const std::vector<NewJob> jobs(2, bench.job());
        const auto answers = must(bench.store().insert(jobs, noon));
        JR_EXPECT(answers.size() == 2);
        JR_EXPECT(answers[1].how == InsertAnswer::How::inserted);
        JR_EXPECT(must(bench.store().count({}, CountBy::nothing)).front().count == 1);
        return {};
    });

    cases.add("a batch answers each job in its place", [](Bench& bench) -> Result<void> {
        std::vector<NewJob> jobs;
        for (int i = 0; i < 50; ++i) jobs.push_back(bench.job());
        const auto answers = must(bench.store().insert(jobs, noon));
        JR_EXPECT(answers.size() == jobs.size());
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            JR_EXPECT(answers[i].id == jobs[i].id);
            JR_EXPECT(bench.exists(jobs[i].id));
        }
        return {};
    });

    cases.add("a job that cannot be stored never fails its neighbours", [](Bench& bench) -> Result<void> {
        std::vector<NewJob> jobs;
        for (int i = 0; i < 5; ++i) jobs.push_back(bench.job());
        jobs[1].id = JobId{};
        jobs[2].kind.clear();
        jobs[3].payload = "{\"x\":\"" + std::string(limits::payload, 'x') + "\"}";
        const auto answers = must(bench.store().insert(jobs, noon));
        JR_EXPECT(answers.size() == 5);
        const bool refused[] = {false, true, true, true, false};
        for (std::size_t i = 0; i < 5; ++i) {
            JR_EXPECT(answers[i].refused.has_value() == refused[i]);
            if (refused[i]) JR_EXPECT(answers[i].refused->code == Errc::invalid_argument);
            if (refused[i]) JR_EXPECT(!answers[i].refused->message.empty());
        }
        JR_EXPECT(bench.exists(jobs[0].id));
        JR_EXPECT(bench.exists(jobs[4].id));
        JR_EXPECT(must(bench.store().count({}, CountBy::nothing)).front().count == 2);
        return {};
    });

    cases.add("a payload of the largest size comes back whole", [](Bench& bench) -> Result<void> {
        NewJob job = bench.job();
        const std::string text(limits::payload - 8, 'x');
        job.payload = "{\"x\":\"" + text + "\"}";
        JR_EXPECT(job.payload.size() == limits::payload);
        bench.add(job);
        JR_EXPECT(bench.get(job.id).payload.at("x").as_string() == text);
        const auto taken = bench.claim_one();
        JR_EXPECT(taken.payload.at("x").as_string().size() == text.size());
        return {};
    });

    cases.add("more items or bytes than a batch may have are an invalid argument, and nothing is stored",
              [](Bench& bench) -> Result<void> {
                  std::vector<NewJob> many(limits::batch_items + 1, bench.job());
                  for (auto& job : many) job.id = bench.id();
                  JR_EXPECT(code_of(bench.store().insert(many, noon)) == Errc::invalid_argument);
                  std::vector<NewJob> large(limits::batch_bytes / limits::payload + 1, bench.job());
                  for (auto& job : large) {
                      job.id = bench.id();
                      job.payload = "{\"x\":\"" + std::string(limits::payload - 8, 'x') + "\"}";
                  }
                  JR_EXPECT(code_of(bench.store().insert(large, noon)) == Errc::invalid_argument);
                  JR_EXPECT(must(bench.store().count({}, CountBy::nothing)).front().count == 0);
                  many.pop_back();
                  JR_EXPECT(must(bench.store().insert(many, noon)).size() == limits::batch_items);
                  JR_EXPECT(must(bench.store().count({}, CountBy::nothing)).front().count == limits::batch_items);
                  return {};
              });

    cases.add("an empty batch is fine", [](Bench& bench) -> Result<void> {
        JR_EXPECT(must(bench.store().insert({}, noon)).empty());
        JR_EXPECT(must(bench.store().settle({}, noon)).empty());
        JR_EXPECT(must(bench.store().note({}, noon)).empty());
        return {};
    });

    cases.add("a repeated idempotency key answers with the first job and its hash", [](Bench& bench) -> Result<void> {
        NewJob first = bench.job();
        first.idempotency_key = "key";
        first.idempotency_hash = "hash of the first";
        bench.add(first);
        NewJob second = bench.job("test.b");
        second.idempotency_key = "key";
        second.idempotency_hash = "hash of the second";
        auto answer = bench.insert(second);
        JR_EXPECT(answer.how == InsertAnswer::How::repeated);
        JR_EXPECT(answer.id == first.id);
        JR_EXPECT(answer.hash == first.idempotency_hash);
        JR_EXPECT(answer.state == JobState::queued);
        JR_EXPECT(!bench.exists(second.id));
        bench.end(bench.claim_one(), Verdict::completed);
        answer = bench.insert(second);
        JR_EXPECT(answer.how == InsertAnswer::How::repeated);
        JR_EXPECT(answer.state == JobState::completed);
        JR_EXPECT(bench.change(first.id, Action::remove).how == ChangeAnswer::How::done);
        JR_EXPECT(bench.insert(second).how == InsertAnswer::How::inserted);
        return {};
    });

    cases.add("a request that made no job does not use up its idempotency key", [](Bench& bench) -> Result<void> {
        NewJob first = bench.job();
        first.unique_key = "u";
        bench.add(first);
        NewJob second = bench.job();
        second.unique_key = "u";
        second.idempotency_key = "key";
        JR_EXPECT(bench.insert(second).how == InsertAnswer::How::existing);
        NewJob third = bench.job();
        third.idempotency_key = "key";
        JR_EXPECT(bench.insert(third).how == InsertAnswer::How::inserted);
        return {};
    });

    cases.add("any text survives: other scripts, quotes, control characters, zero bytes", [](Bench& bench) -> Result<void> {
        const std::string text = "na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x9a\x80 \"quoted\" 'single' \\ \x01\x7f before" +
                                 std::string(1, '\0') + "after";
        NewJob job = bench.job();
        job.payload = boost::json::serialize(boost::json::object{{text, text}});
        job.unique_key = text;
        job.idempotency_key = text + "i";
        job.idempotency_hash = text + "h";
        job.trace_id = text + "t";
        job.tags = {text, "'; DROP TABLE jobs; --"};
        bench.add(job);
        auto read = bench.get(job.id);
        JR_EXPECT(std::string(read.payload.at(text).as_string()) == text);
        JR_EXPECT(read.unique_key == text);
        JR_EXPECT(read.trace_id == text + "t");
        JR_EXPECT(read.tags == job.tags);
        NewJob again = bench.job();
        again.idempotency_key = text + "i";
        JR_EXPECT(bench.insert(again).hash == text + "h");
        auto failing = bench.settlement(bench.claim_one(), Verdict::failed);
        failing.message = text;
        bench.settle(failing);
        read = bench.get(job.id);
        JR_EXPECT(read.errors.size() == 1);
        JR_EXPECT(last_of(read.errors).message == text);
        JR_EXPECT(field(bench.last_event(job.id), "error") == text);
        JR_EXPECT(bench.last_event(job.id).trace_id == text + "t");
        return {};
    });

    cases.add("times long before 1970 and long after 2100 are kept and ordered", [](Bench& bench) -> Result<void> {
        NewJob ancient = bench.job();
        ancient.run_at = std::chrono::sys_days{std::chrono::year{1901} / 1 / 1};
        NewJob far = bench.job();
        far.run_at = std::chrono::sys_days{std::chrono::year{9000} / 1 / 1};
        bench.add(far);
        bench.add(ancient);
        JR_EXPECT(bench.get(far.id).state == JobState::scheduled);
        JR_EXPECT(bench.get(far.id).run_at == far.run_at);
        const auto claimed = bench.claim(5);
        JR_EXPECT(only(claimed.jobs).id == ancient.id);
        JR_EXPECT(claimed.jobs.front().run_at == ancient.run_at);
        JR_EXPECT(claimed.next_due == far.run_at);
        bench.now = far.run_at;
        JR_EXPECT(bench.claim_one().id == far.id);
        bench.now = ancient.run_at;
        NewJob then = bench.job();
        bench.add(then);
        JR_EXPECT(bench.get(then.id).created_at == ancient.run_at);
        return {};
    });
}

}  // namespace jobruntime::testing::contract
