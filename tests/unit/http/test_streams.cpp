// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http_fixture.hpp"

#include <malloc.h>

#include <atomic>
#include <thread>

#include "http/subscriber.hpp"

using namespace http_test;

namespace {

struct Frame {
    std::string id, event, data;
};

/// Reads server-sent events.
class Stream {
public:
    explicit Stream(int port, const std::string& query = "", const std::string& more = "", int receive_buffer = 0) : client(port, receive_buffer) {
        client.send("GET /api/telemetry/stream" + query + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n");
        reply = client.read_reply();
    }
    std::optional<Frame> next() {
        auto text = client.read_to("\n\n");
        if (!text) return std::nullopt;
        Frame frame;
        for (std::size_t at = 0; at + 1 < text->size();) {
            const auto end = text->find('\n', at);
            const auto line = text->substr(at, end - at);
            at = end + 1;
            const auto colon = line.find(": ");
            (line.starts_with("id") ? frame.id : line.starts_with("event") ? frame.event : frame.data) = line.substr(colon + 2);
        }
        return frame;
    }
    /// The next one that is an event of the log.
    Frame telemetry() {
        const auto until = std::chrono::steady_clock::now() + patience;
        while (true) {
            auto frame = next();
            REQUIRE(frame);
            if (frame->event == "telemetry") return *frame;
            REQUIRE_MESSAGE(std::chrono::steady_clock::now() < until, "no event of the log came within a minute");
        }
    }

    Client client;
    std::optional<Reply> reply;
};

/// Bytes that this process has allocated; 0 where a sanitizer allocates.
std::int64_t in_use() {
    const auto facts = mallinfo2();
    return static_cast<std::int64_t>(facts.uordblks + facts.hblkhd);
}

std::string number_of(const Frame& frame) {
    const auto at = frame.data.find("\"n\":");
    return at == std::string::npos ? "" : frame.data.substr(at + 4, frame.data.find_first_of(",}", at) - at - 4);
}

/// Writes events n = from … to - 1.
void write_events(Store& store, int from, int to, std::size_t padding = 0, Level level = Level::info) {
    std::vector<Note> notes;
    for (int n = from; n < to; ++n) {
        Event event;
        event.name = "test.thing.happened";
        event.at = system_clock().wall();
        event.level = level;
        event.trace_id = n % 2 ? "odd" : "even";
        event.fields = {{"n", n}};
        if (padding > 0) event.fields["padding"] = std::string(padding, 'x');
        Note note;
        note.events.push_back(std::move(event));
        notes.push_back(std::move(note));
        if (notes.size() == 100 || n + 1 == to) {
            REQUIRE(store.note(notes, system_clock().wall()));
            notes.clear();
        }
    }
}

/// Answers Errc::unavailable to events() while `down`.
class OutageStore : public Store {
public:
    explicit OutageStore(Store& inner) : inner_(inner) {}
    std::atomic<bool> down{false};
    std::atomic<int> refused{0};
    std::atomic<bool> hangs{false};   ///< Says nothing, not even an error, while this is so.
    std::atomic<int> looks{0};        ///< Calls of events().
    std::atomic<int> held{0};         ///< Those that hung.
    bool mute = false;                ///< Tells nobody that something has changed.

    Result<EventPage> events(std::optional<EventId> after, const EventFilter& filter, int limit) override {
        ++looks;
        if (hangs) ++held;
        hangs.wait(true);
        if (down) {
            ++refused;
            return Error{Errc::unavailable, "down"};
        }
        return inner_.events(after, filter, limit);
    }
    Result<std::vector<InsertAnswer>> insert(std::span<const NewJob> jobs, Time now) override { return inner_.insert(jobs, now); }
    Result<Claimed> claim(std::span<const Want> w, SessionId s, ClaimMode m, Time now) override { return inner_.claim(w, s, m, now); }
    Result<std::vector<SettleAnswer>> settle(std::span<const Settlement> s, Time now) override { return inner_.settle(s, now); }
    Result<std::vector<NoteAnswer>> note(std::span<const Note> notes, Time now) override { return inner_.note(notes, now); }
    Result<Changed> change(const Selection& w, const Change& c, int l, std::string_view k, Time now) override { return inner_.change(w, c, l, k, now); }
    Result<std::optional<Job>> get(JobId id, unsigned parts) override { return inner_.get(id, parts); }
    Result<JobPage> list(const JobFilter& f, JobOrder o, std::string_view c, int l, unsigned p) override { return inner_.list(f, o, c, l, p); }
    Result<std::vector<CountRow>> count(const JobFilter& f, CountBy by) override { return inner_.count(f, by); }
    Result<BeatAnswer> beat(SessionId s, const SessionFacts& f, Time now) override { return inner_.beat(s, f, now); }
    Result<Recovered> recover(SessionId s, std::uint64_t b, Loss l, int n, Time now) override { return inner_.recover(s, b, l, n, now); }
    Result<std::vector<SessionInfo>> sessions() override { return inner_.sessions(); }
    Result<Tended> tend(const Retention& r, int b, Time now) override { return inner_.tend(r, b, now); }
    Result<std::vector<Record>> records(std::string_view p) override { return inner_.records(p); }
    Result<std::uint64_t> put(std::string_view k, std::optional<std::string_view> v, std::uint64_t e) override { return inner_.put(k, v, e); }
    Subscription on_change(std::function<void(unsigned)> callback) override {
        return mute ? Subscription() : inner_.on_change(std::move(callback));
    }
    std::string describe() const override { return inner_.describe(); }

private:
    Store& inner_;
};

}  // namespace

TEST_CASE("a stream begins with history and goes on live, in the contract's format") {
    Host host;
    write_events(host.store, 0, 10);
    Stream stream(host.start(), "?limit=3");
    REQUIRE(stream.reply);
    CHECK(stream.reply->status == 200);
    CHECK(stream.reply->headers.at("content-type") == "text/event-stream; charset=utf-8");
    CHECK_FALSE(stream.reply->headers.contains("content-length"));
    for (const char* n : {"7", "8", "9"}) {
        const auto frame = stream.telemetry();
        CHECK(number_of(frame) == n);
        CHECK(frame.data.find("{\"id\":" + frame.id + ",\"ts\":\"") == 0);
    }
    write_events(host.store, 10, 12);
    CHECK(number_of(stream.telemetry()) == "10");
    CHECK(number_of(stream.telemetry()) == "11");
}

TEST_CASE("filters are exact and on the server; heartbeats move the position on") {
    http::Options options;
    options.stream_heartbeat = 50ms;
    Host host(options);
    const int port = host.start();
    Stream odd(port, "?traceId=odd"), warn(port, "?level=warn"), nobody(port, "?traceId=nobody");
    write_events(host.store, 0, 6);
    write_events(host.store, 6, 7, 0, Level::warn);
    for (const char* n : {"1", "3", "5"}) CHECK(number_of(odd.telemetry()) == n);
    CHECK(number_of(warn.telemetry()) == "6");
    const auto newest = std::to_string(host.store.events(std::nullopt, {}, 1)->events.back().id);
    Frame beat;
    do {
        beat = *nobody.next();
        CHECK(beat.event == "heartbeat");
        CHECK(beat.data.find("{\"ts\":\"") == 0);
    } while (beat.id != newest);
}

TEST_CASE("a stream resumes after the last id without gap or repeat, also at another server") {
    auto shared = memory::open({"test", "api"});
    std::string last;
    std::vector<std::string> seen;
    for (int round = 0; round < 5; ++round) {
        Host host({}, shared.get());
        Stream stream(host.start(), "?after=0", last.empty() ? "" : "Last-Event-ID: " + last + "\r\n");
        std::jthread writer([&, round] { write_events(*shared, round * 300, (round + 1) * 300); });
        for (int i = 0; i < 200; ++i) {
            const auto frame = stream.telemetry();
            seen.push_back(number_of(frame));
            last = frame.id;
        }
    }
    for (std::size_t i = 0; i < seen.size(); ++i) REQUIRE(seen[i] == std::to_string(i));
}

TEST_CASE("who was told more by another server than this one has looked at is told nothing twice") {
    auto memory = memory::open({"test", "api"});
    OutageStore store(*memory);
    store.mute = true;
    http::Options options;
    options.stream_poll = 1s;
    Host host(options, &store);
    const int port = host.start();
    Stream waits(port);
    write_events(store, 0, 1);
    CHECK(number_of(waits.telemetry()) == "0");  // A look was just taken; the next comes in a second.
    write_events(store, 1, 4);
    const auto newest = store.events(std::nullopt, {}, 1)->events.back().id;
    Stream ahead(port, "", "Last-Event-ID: " + std::to_string(newest) + "\r\n");
    REQUIRE(ahead.reply);
    write_events(store, 4, 6);
    for (const char* n : {"4", "5"}) CHECK(number_of(ahead.telemetry()) == n);
    for (const char* n : {"1", "2", "3", "4", "5"}) CHECK(number_of(waits.telemetry()) == n);
}

TEST_CASE("a position that is not kept any more is said first, with the oldest that is") {
    Host host;
    write_events(host.store, 0, 20);
    Retention retention;
    retention.event_count = 5;
    REQUIRE(host.store.tend(retention, 100, system_clock().wall()));
    Stream stream(host.start(), "?after=1");
    const auto first = stream.next();
    REQUIRE(first);
    CHECK(first->event == "truncated");
    CHECK(first->id.empty());
    const auto oldest = stream.telemetry();
    CHECK(first->data == "{\"oldestId\":" + oldest.id + "}");
    CHECK(number_of(oldest) == "15");
}

TEST_CASE("sixteen streams and fifty clients at once; the seventeenth is told to come back; all end well at a stop") {
    http::Options options;
    options.limits.streams = 16;
    Host host(options);
    const int port = host.start();
    std::vector<std::unique_ptr<Stream>> streams;
    for (int i = 0; i < 16; ++i) {
        streams.push_back(std::make_unique<Stream>(port, i % 2 ? "?traceId=odd" : ""));
        REQUIRE(streams.back()->reply->status == 200);
    }
    Client more(port);
    const auto refused = more.get("/api/telemetry/stream");
    REQUIRE(refused);
    CHECK(refused->status == 503);
    CHECK(refused->headers.at("retry-after") == "5");
    CHECK(refused->body.find("TOO_MANY_STREAMS") != std::string::npos);
    CHECK(more.get("/api/health")->status == 200);

    std::atomic<int> good{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 50; ++i)
        clients.emplace_back([&] {
            Client client(port);
            for (int n = 0; n < 10; ++n)
                if (client.get("/api/telemetry?limit=10")->status == 200) ++good;
        });
    write_events(host.store, 0, 2'000);
    for (auto& client : clients) client.join();
    CHECK(good == 500);
    for (int i = 0; i < 16; ++i)
        for (int n = i % 2; n < 2'000; n += 1 + i % 2) REQUIRE(number_of(streams[i]->telemetry()) == std::to_string(n));

    // A place becomes free when its client has gone.
    streams.pop_back();
    while (true) {
        Stream again(port, "?limit=1");
        if (again.reply->status == 200) break;
        std::this_thread::yield();
    }
    const auto begun = std::chrono::steady_clock::now();
    host.server.stop();
    CHECK(std::chrono::steady_clock::now() - begun < 10s);  // Of the thirty that are the grace time.
    for (auto& stream : streams) {
        std::optional<Frame> last;
        while (auto frame = stream->next()) last = std::move(frame);
        REQUIRE(last);
        CHECK(last->event == "shutdown");
    }
}

TEST_CASE("a reader that takes nothing is dropped with a last word, and others get every event meanwhile") {
    http::Options options;
    options.stream_backlog = 64 << 10;
    options.stream_stall = 2s;  // The good one is never still for so long, on a busy machine neither.
    Host host(options);
    const int port = host.start();
    Stream deaf(port, "", "", 4'096), good(port);
    const int count = 1'500;
    std::jthread writer([&] { write_events(host.store, 0, count, 8'000); });
    for (int n = 0; n < count; ++n) REQUIRE(number_of(good.telemetry()) == std::to_string(n));
    writer.join();
    const auto was_dropped = [&] {
        for (const auto& line : host.lines())
            if (line.find("dropped") != std::string::npos) return true;
        return false;
    };
    while (!was_dropped()) std::this_thread::yield();
    // What it did get is whole and in order, then comes the reason.
    int n = 0;
    std::optional<Frame> last;
    while (auto frame = deaf.next()) {
        if (frame->event == "telemetry") REQUIRE(number_of(*frame) == std::to_string(n++));
        last = std::move(frame);
    }
    CHECK(n < count);
    REQUIRE(last);
    CHECK(last->event == "dropped");
}

TEST_CASE("readers that never read cost little, also when each of them begins elsewhere") {
    auto memory = memory::open({"test", "api"});
    const int events = 1'000, readers = 150;
    write_events(*memory, 0, events, 4'000);
    const auto first = memory->events(0, {}, 1)->events.front().id;
    OutageStore store(*memory);
    http::Options options;
    options.limits.streams = readers;
    options.stream_poll = 60s;
    options.stream_stall = 60s;
    Host host(options, &store);
    const int port = host.start();
    const auto before = in_use();
    std::vector<std::unique_ptr<Client>> deaf;
    for (int i = 0; i < readers; ++i) {
        deaf.push_back(std::make_unique<Client>(port, 4'096));
        deaf.back()->send("GET /api/telemetry/stream?after=" + std::to_string(first + static_cast<EventId>(i)) + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    for (auto& client : deaf) REQUIRE(client->read_reply(true)->status == 200);
    // All have got what the kernel takes, and what lies behind it.
    const auto until = std::chrono::steady_clock::now() + 60s;
    for (int looks = -1; (looks != store.looks || looks < readers) && std::chrono::steady_clock::now() < until;) {
        looks = store.looks;
        std::this_thread::sleep_for(300ms);
    }
    REQUIRE(store.looks >= readers);
    // Measured: 40 to 45 KB each.
    CHECK(in_use() - before < readers * std::int64_t{64 << 10});
}

TEST_CASE("pages of those who are behind have one bound, and a reader that takes his is not kept from it for long") {
    auto memory = memory::open({"test", "api"});
    const int events = 400, readers = 20;
    write_events(*memory, 0, events, 4'000);
    const auto first = memory->events(0, {}, 1)->events.front().id;
    http::Options options;
    options.limits.streams = readers + 1;
    options.max_stream_memory = 64 << 10;
    options.stream_stall = 600ms;
    Host host(options, memory.get());
    const int port = host.start();
    std::vector<std::unique_ptr<Client>> deaf;
    for (int i = 0; i < readers; ++i) {
        deaf.push_back(std::make_unique<Client>(port, 4'096));
        deaf.back()->send("GET /api/telemetry/stream?after=" + std::to_string(first + static_cast<EventId>(i)) + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    for (auto& client : deaf) REQUIRE(client->read_reply(true)->status == 200);
    Stream good(port, "?after=0");
    for (int n = 0; n < events; ++n) REQUIRE(number_of(good.telemetry()) == std::to_string(n));
}

TEST_CASE("a byte now and then is no progress; a fair part of what there is, or all of it, is") {
    http::Progress progress;
    const http::RealTime begun{1h};
    progress.restart(begun);
    for (int i = 1; i <= 1'000; ++i) progress.took(1, begun + i * 1s);
    CHECK(progress.at() == begun);
    progress.took(http::Progress::least - 1'001, begun + 1'001s);
    CHECK(progress.at() == begun);
    progress.took(1, begun + 1'002s);
    CHECK(progress.at() == begun + 1'002s);
    progress.took(http::Progress::least - 1, begun + 1'003s);
    CHECK(progress.at() == begun + 1'002s);
    progress.restart(begun + 1'004s);
    progress.took(1, begun + 1'005s);
    CHECK(progress.at() == begun + 1'004s);
}

TEST_CASE("a reader that is only slow gets everything in the end") {
    http::Options options;
    options.stream_backlog = 64 << 10;
    Host host(options);
    Stream slow(host.start(), "", "", 4'096);
    const int count = 1'000;
    write_events(host.store, 0, count, 8'000);
    for (int n = 0; n < count; ++n) REQUIRE(number_of(slow.telemetry()) == std::to_string(n));
}

TEST_CASE("a stream stays open while the store is down, and goes on without gap or repeat") {
    auto memory = memory::open({"test", "api"});
    OutageStore store(*memory);
    http::Options options;
    options.stream_heartbeat = 50ms;
    Host host(options, &store);
    const int port = host.start();
    Stream stream(port);
    write_events(store, 0, 5);
    for (int n = 0; n < 5; ++n) CHECK(number_of(stream.telemetry()) == std::to_string(n));
    store.down = true;
    write_events(store, 5, 10);
    while (store.refused < 2) std::this_thread::yield();
    Stream second(port);
    CHECK(second.next()->event == "heartbeat");
    CHECK(stream.next()->event == "heartbeat");
    store.down = false;
    for (int n = 5; n < 10; ++n) CHECK(number_of(stream.telemetry()) == std::to_string(n));
    for (int n = 0; n < 10; ++n) CHECK(number_of(second.telemetry()) == std::to_string(n));
}

TEST_CASE("streams begin, beat and end while the store hangs: nobody asks it in the thread that sends them") {
    auto memory = memory::open({"test", "api"});
    OutageStore store(*memory);
    http::Options options;
    options.stream_heartbeat = 50ms;
    Host host(options, &store);
    const int port = host.start();
    Stream first(port);
    store.hangs = true;
    write_events(*memory, 0, 1);
    while (store.held == 0) std::this_thread::yield();
    for (int i = 0; i < 3; ++i) CHECK(first.next()->event == "heartbeat");
    Stream second(port);
    CHECK(second.reply->status == 200);
    store.hangs = false;
    store.hangs.notify_all();
    CHECK(number_of(first.telemetry()) == "0");
    CHECK(number_of(second.telemetry()) == "0");
}

TEST_CASE("many who want the same page share one look at the store") {
    auto memory = memory::open({"test", "api"});
    write_events(*memory, 0, 300);
    OutageStore store(*memory);
    http::Options options;
    options.limits.streams = 200;
    options.stream_poll = 60s;
    Host host(options, &store);
    const int port = host.start();
    store.hangs = true;
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 200; ++i) {
        clients.push_back(std::make_unique<Client>(port));
        clients.back()->send("GET /api/telemetry/stream?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    // The head comes without the store, after a while: all are there then.
    for (auto& client : clients) REQUIRE(client->read_reply(true)->status == 200);
    store.hangs = false;
    store.hangs.notify_all();
    for (auto& client : clients)
        for (int n = 200; n < 300; ++n) REQUIRE(client->read_to("\n\n")->find("\"n\":" + std::to_string(n)) != std::string::npos);
    CHECK(store.looks < 20);
}

TEST_CASE("a stream ends when its token is revoked, with the reason as its last word") {
    std::atomic<bool> revoked{false};
    ApiOptions guarded;
    guarded.authenticate = [&revoked](std::string_view token) -> std::optional<Caller> {
        if (token == "good" && !revoked) return Caller{};
        return std::nullopt;
    };
    http::Options options;
    options.stream_heartbeat = 50ms;
    Host host(options, nullptr, guarded);
    Stream stream(host.start(), "", "Authorization: Bearer good\r\n");
    CHECK(stream.next()->event == "heartbeat");
    CHECK(stream.next()->event == "heartbeat");
    revoked = true;
    std::optional<Frame> last;
    while (auto frame = stream.next()) last = std::move(frame);
    REQUIRE(last);
    CHECK(last->event == "revoked");
}
