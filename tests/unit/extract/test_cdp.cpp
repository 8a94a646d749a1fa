// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// The protocol client against a peer made of two pipes, which behaves as badly as it likes.
#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <boost/json.hpp>

#include "extract/cdp.hpp"
#include "extract/json_access.hpp"

using namespace jobruntime;
using namespace jobruntime::extract;
using namespace std::chrono_literals;
namespace json = boost::json;

namespace {

/// Both ends: the connection under test, and ours as the browser.
struct Peer {
    explicit Peer(cdp::Limits limits = {}) {
        auto requests = make_pipe();
        auto answers = make_pipe();
        from_client = std::move(requests->read_end);
        to_client = std::move(answers->write_end);
        connection = std::move(cdp::Connection::open(std::move(answers->read_end),
                                                     std::move(requests->write_end), Fd{}, limits))
                         .value();
    }
    void say(std::string_view text) {
        std::string bytes(text);
        bytes += '\0';
        REQUIRE(write_all(to_client.get(), bytes, std::chrono::steady_clock::now() + 5s));
    }
    json::object hear() {
        auto line = reader().next(std::chrono::steady_clock::now() + 5s);
        REQUIRE(line);
        REQUIRE(line->has_value());
        return json::parse(**line).as_object();
    }
    LineReader& reader() {
        if (!reader_) reader_.emplace(from_client.get(), LineLimits{.delimiter = '\0'});
        return *reader_;
    }
    Fd from_client;
    Fd to_client;
    std::unique_ptr<cdp::Connection> connection;
    std::optional<LineReader> reader_;
};

Deadline soon() { return std::chrono::steady_clock::now() + 60s; }

cdp::Message expect_message(cdp::Mailbox& mailbox) {
    cdp::Message message;
    REQUIRE(mailbox.pop(message, soon(), {}) == cdp::Mailbox::Got::message);
    return message;
}

}  // namespace

TEST_CASE("frames are cut whatever the pieces, and giants are skipped") {
    std::vector<std::string> seen;
    const auto sink = [&](std::string_view text) { seen.emplace_back(text); };
    const std::string stream(
        "one\0\0two\0"
        "0123456789x\0three\0",
        27);
    for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
        CAPTURE(piece);
        seen.clear();
        cdp::FrameSplitter splitter(10);
        for (std::size_t at = 0; at < stream.size(); at += piece)
            splitter.feed(std::string_view(stream).substr(at, piece), sink);
        CHECK(seen == std::vector<std::string>{"one", "two", "three"});
        CHECK(splitter.skipped() == 1);
    }
}

TEST_CASE("what is not the protocol is no message") {
    const char* rows[] = {"",
                          "x",
                          "[]",
                          "1",
                          "null",
                          "{}",
                          "{\"id\":0}",
                          "{\"id\":-1}",
                          "{\"id\":\"1\"}",
                          "{\"id\":1.5}",
                          "{\"method\":3}",
                          "{\"method\":\"\"}",
                          "{\"id\":99999999999999999999}",
                          "{\"method\":\"a\"",
                          "{\"id\":1}}"};
    for (const char* row : rows) {
        CAPTURE(row);
        CHECK_FALSE(cdp::parse_message(row));
    }
    CHECK_FALSE(cdp::parse_message(std::string(100'000, '[')));
    const auto odd = cdp::parse_message(R"({"id":7,"result":[1],"error":{"code":"x"},"sessionId":5})");
    REQUIRE(odd);
    CHECK(odd->error == "unnamed error");
    CHECK(odd->params.empty());
    const auto event = cdp::parse_message(R"({"method":"A.b","params":"text"})");
    REQUIRE(event);
    CHECK(event->params.empty());
}

TEST_CASE("a call gets its own answer among events and strangers' answers") {
    Peer peer;
    std::thread browser([&] {
        const auto request = peer.hear();
        CHECK(text_at(request, "method") == "Browser.getVersion");
        peer.say(R"({"id":12345,"result":{}})");
        peer.say(R"({"method":"Some.event","params":{}})");
        peer.say("not json at all");
        peer.say(R"({"id":)" + std::to_string(request.at("id").as_int64()) +
                 R"(,"result":{"userAgent":"me"}})");
    });
    const auto answer = peer.connection->call("Browser.getVersion", {}, soon());
    browser.join();
    REQUIRE(answer);
    CHECK(text_at(*answer, "userAgent") == "me");
    CHECK(peer.connection->skipped() == 1);
}

TEST_CASE("a refusal, silence, a stop and the end each have their error") {
    Peer peer;
    const auto answer_with = [&](const std::string& rest) {
        return std::thread([&peer, rest] {
            peer.say(R"({"id":)" + std::to_string(peer.hear().at("id").as_int64()) + rest);
        });
    };
    auto refusing = answer_with(R"(,"error":{"code":-32601,"message":"no such method"}})");
    const auto refused = peer.connection->call("No.such", {}, soon());
    refusing.join();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::invalid_argument);
    CHECK(refused.error().message.find("no such method") != std::string::npos);
    const auto silent = peer.connection->call("A.b", {}, std::chrono::steady_clock::now() + 30ms);
    REQUIRE_FALSE(silent);
    CHECK(silent.error().code == Errc::timed_out);
    std::stop_source source;
    std::thread stopper([&] {
        peer.hear();  // The silent one.
        peer.hear();
        source.request_stop();
    });
    const auto stopped = peer.connection->call("A.c", {}, soon(), source.get_token());
    stopper.join();
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().code == Errc::canceled);
    std::thread killer([&] {
        peer.hear();
        peer.to_client.reset();
    });
    const auto ended = peer.connection->call("A.d", {}, soon());
    killer.join();
    REQUIRE_FALSE(ended);
    CHECK(ended.error().code == Errc::unavailable);
    CHECK_FALSE(peer.connection->alive());
    CHECK(peer.connection->call("A.e", {}, soon()).error().code == Errc::unavailable);
}

TEST_CASE("events follow their session, and a frame's session its parent") {
    Peer peer;
    const auto mailbox = peer.connection->open_mailbox();
    const auto other = peer.connection->open_mailbox();
    peer.connection->route("S1", mailbox);
    peer.connection->route("S2", other);
    peer.say(
        R"({"method":"Target.attachedToTarget","sessionId":"S1","params":{"sessionId":"C1","targetInfo":{"type":"iframe"}}})");
    peer.say(R"({"method":"Network.x","sessionId":"C1","params":{"n":1}})");
    peer.say(R"({"method":"Network.y","sessionId":"unknown","params":{}})");
    peer.say(R"({"method":"Target.detachedFromTarget","sessionId":"S1","params":{"sessionId":"C1"}})");
    peer.say(R"({"method":"Network.z","sessionId":"C1","params":{}})");
    peer.say(R"({"method":"Target.detachedFromTarget","sessionId":"S1","params":{"sessionId":"S2"}})");
    peer.say(R"({"method":"Network.w","sessionId":"S2","params":{}})");
    CHECK(expect_message(*mailbox).method == "Target.attachedToTarget");
    CHECK(expect_message(*mailbox).method == "Network.x");
    CHECK(expect_message(*mailbox).method == "Target.detachedFromTarget");
    CHECK(expect_message(*mailbox).method == "Target.detachedFromTarget");
    // A page cannot take another page's session away.
    CHECK(expect_message(*other).method == "Network.w");
    peer.connection->close_mailbox(mailbox);
    cdp::Message none;
    CHECK(mailbox->pop(none, soon(), {}) == cdp::Mailbox::Got::closed);
}

TEST_CASE("a flood of events is dropped, answers are not, and a giant message does no harm") {
    cdp::Limits limits;
    limits.mailbox_events = 10;
    limits.max_message = 4096;
    Peer peer(limits);
    const auto mailbox = peer.connection->open_mailbox();
    peer.connection->route("S", mailbox);
    const auto id = peer.connection->send(mailbox, "S", "A.b", {});
    for (int i = 0; i < 100; ++i) peer.say(R"({"method":"E.e","sessionId":"S","params":{}})");
    peer.say(R"({"method":"E.big","sessionId":"S","params":{"x":")" + std::string(100'000, 'x') + "\"}}");
    peer.say(R"({"id":)" + std::to_string(id) + R"(,"sessionId":"S","result":{}})");
    std::size_t events = 0;
    while (expect_message(*mailbox).id == 0) ++events;
    CHECK(events >= 10);
    CHECK(events + mailbox->dropped() == 100);
    CHECK(peer.connection->skipped() == 1);
}

TEST_CASE("a browser that does not read never blocks a caller") {
    Peer peer;
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 200; ++i)
        peer.connection->send(nullptr, {}, "A.b", {{"x", std::string(10'000, 'x')}});
    CHECK(std::chrono::steady_clock::now() - begin < 5s);
    CHECK(peer.connection->call("A.c", {}, std::chrono::steady_clock::now() + 30ms).error().code ==
          Errc::timed_out);
}
