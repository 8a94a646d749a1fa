// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "demo_site.hpp"

#include <jobruntime/api_router.hpp>
#include <jobruntime/http.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/subprocess.hpp>

namespace jobruntime::jobrt {

Result<void> make_clip(const std::string& path, int seconds) {
    SpawnOptions options;
    options.argv = {"ffmpeg", "-nostdin", "-v", "error", "-y",
                    "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25",
                    "-f", "lavfi", "-i", "sine=frequency=440",
                    "-t", std::to_string(seconds), "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", path};
    options.env = {"PATH=/usr/local/bin:/usr/bin:/bin"};
    options.err = Stdio::inherit;
    auto ffmpeg = Subprocess::spawn(options);
    if (!ffmpeg)
        return Error{Errc::not_found, "FFMPEG_NOT_FOUND",
                     "the clip is made with ffmpeg: " + ffmpeg.error().message + "; apt install ffmpeg"};
    auto ended = ffmpeg->wait(std::chrono::steady_clock::now() + std::chrono::seconds(60));
    if (!ended) return std::move(ended).error();
    if (!ended->success()) return Error{Errc::internal, "FFMPEG_FAILED", "ffmpeg could not make the clip: " + to_string(*ended)};
    return {};
}

struct DemoSite::Impl {
    explicit Impl(std::string file) : store(memory::open()), queue(*store), router(queue), clip(std::move(file)) {
        router.add({"GET", "/", jobruntime::Role::anyone, "The page.", {}, [](const Request&, const RouteMatch&) {
                        Response page;
                        page.headers.emplace_back("content-type", "text/html; charset=utf-8");
                        page.body = std::string(
                            "<!doctype html><html lang=en><head><meta charset=utf-8><title>jobrt demo clip</title>"
                            "<meta property=og:site_name content=demo></head>"
                            "<body><h1>jobrt demo clip</h1><video src=/clip.mp4 controls></video></body></html>");
                        return page;
                    }});
        router.add({"GET", "/clip.mp4", jobruntime::Role::anyone, "The clip.", {},
                    [this](const Request& request, const RouteMatch&) {
                        return file_response(request, clip, "video/mp4");
                    }});
        http::Options options;
        options.addresses = {"127.0.0.1"};
        options.port = 0;
        server = std::make_unique<http::Server>(router, *store, options);
    }

    std::unique_ptr<Store> store;
    JobQueue queue;
    ApiRouter router;
    std::string clip;
    std::unique_ptr<http::Server> server;
};

DemoSite::DemoSite(std::string clip) : impl_(std::make_unique<Impl>(std::move(clip))) {}
DemoSite::~DemoSite() = default;

Result<std::string> DemoSite::start() {
    JR_TRY(impl_->server->start());
    return impl_->server->urls().front() + "/";
}

}  // namespace jobruntime::jobrt
