// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <sys/mman.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <jobruntime/extract.hpp>

#include "fuzz.hpp"
#include "host/src/platform_config.hpp"

namespace jobruntime::fuzz {
namespace {

/// A file that is in no folder.
class File {
public:
    explicit File(std::string_view text) : fd_(memfd_create("configuration", MFD_CLOEXEC)) {
        expect(fd_ >= 0 && write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "no memory for a file");
    }
    ~File() { close(fd_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

private:
    int fd_;
};

void expect_platforms(const host::MediaConfig& media) {
    const auto rules = media.rules();
    for (const auto* address : {"https://x.com/a/status/1", "https://www.tiktok.com/@a/video/1",
                                "https://site.example/talk/abc?x=1",
                                "https://m.site.example/s/1#f", "http://10.0.0.1:8080/"}) {
        const auto url = *net::parse_url(address);
        const auto post = net::identify(url, rules);
        if (!post) {
            expect(!post.error().name.empty(), "an error without a name");
            continue;
        }
        expect_canonical(post->canonical);
        expect(!post->unique_key.empty() && !post->handle_slug.empty(), "a post without a name");
        expect(post->nth == 0 || (post->nth >= 2 && post->nth <= 999), "a video of no number");
    }
}

}  // namespace

/// A configuration file, as it is found on disk.
void configuration(std::string_view input) {
    const File file(input);
    const auto settings = host::Settings::load({{"config", file.path()}}, {}, "", "/nowhere");
    if (!settings) {
        expect(settings.error().name == "INVALID_CONFIGURATION", "an error of another name: " + settings.error().name);
        return;
    }
    host::Config config;
    if (const auto typed = host::Config::from(*settings, "/nowhere")) config = *typed;
    config.config_file = "/nowhere/file.json";
    config.structure = settings->structure();
    const auto media = host::MediaConfig::from(config);
    if (!media) {
        expect(media.error().name == "INVALID_CONFIGURATION", "an error of another name: " + media.error().name);
        return;
    }
    expect_platforms(*media);
    const auto rules = extract::PageRules::parse(media->pages);
    expect(rules || rules.error().name == "INVALID_CONFIGURATION", "an error of another name");
    // What `config show` prints says the same as the file, but for patterns, which it does not show.
    const bool patterns = boost::json::serialize(config.structure).find("\"posts\"") != std::string::npos ||
                          boost::json::serialize(config.structure).find("\"shortLinks\"") != std::string::npos;
    if (patterns) return;
    config.structure = media->shown();
    const auto again = host::MediaConfig::from(config);
    expect(again.has_value() && again->shown() == media->shown(),
           "what is shown says something else: " + boost::json::serialize(media->shown()));
}

}  // namespace jobruntime::fuzz
