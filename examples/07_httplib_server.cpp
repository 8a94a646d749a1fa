// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// A program that has a cpp-httplib server already gets the API and the event stream inside it.
#include <cstdio>
#include <string>
#include <thread>

#include <jobruntime/httplib.hpp>
#include <jobruntime/jobruntime.hpp>

int main() {
    const auto store = jobruntime::memory::open();
    jobruntime::JobQueue queue(*store);
    jobruntime::ApiRouter router(queue, {.service = "shop"});  // With ApiOptions::authenticate, for others than this machine, too.

    httplib::Server server;
    server.set_tcp_nodelay(true);
    server.set_payload_max_length(1 << 20);  // httplib.hpp says why.
    server.Get("/hello", [](const httplib::Request&, httplib::Response& answer) { answer.set_content("hello", "text/plain"); });
    jobruntime::HttplibHost host(server, router, *store);  // /api, /metrics, …: all that the router has routes for.
    const int port = server.bind_to_any_port("127.0.0.1");
    std::thread listening([&] { server.listen_after_bind(); });

    httplib::Client client("127.0.0.1", port);
    const auto made = client.Post("/api/jobs", R"({"kind":"mail.send"})", "application/json");
    const auto list = client.Get("/api/jobs");
    const auto hello = client.Get("/hello");
    // The event stream: the job that has just been made comes first.
    std::string events;
    client.Get("/api/telemetry/stream", [&](const char* data, std::size_t size) {
        events.append(data, size);
        return events.find("jobs.create.queued") == std::string::npos;  // False: enough.
    });

    host.stop();  // First: it has streams say goodbye.
    server.stop();
    listening.join();
    if (!made || made->status != 201 || !list || list->body.find("mail.send") == std::string::npos || !hello || hello->body != "hello") return 1;
    std::printf("%s\n", events.substr(0, events.find('\n')).c_str());
    return events.find("jobs.create.queued") == std::string::npos;
}
