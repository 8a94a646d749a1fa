// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <boost/json/parse.hpp>

#include <jobruntime/extract.hpp>

namespace jobruntime::extract {

namespace {

// The bearer is the one that X's web client sends for visitors who are not logged in: the same for everybody.
// Query id and features are those of its TweetResultByRestId; both change now and then.
constexpr std::string_view x_rule = R"json({
  "platforms": ["x"],
  "ways": [
    {"name": "graphql",
     "steps": [
       {"post": "https://api.x.com/1.1/guest/activate.json",
        "headers": {"authorization": "Bearer AAAAAAAAAAAAAAAAAAAAANRILgAAAAAAnNwIzUejRCOuH5E6I8xnZz4puTs%3D1Zv7ttfk8LF81IUq16cHjhLTvJu4FA33AGWWjCpTnA"},
        "keep": {"guest": "guest_token"}},
       {"get": "https://api.x.com/graphql/2ICDjqPd81tulZcYrtpTuQ/TweetResultByRestId",
        "query": {
          "variables": {"tweetId": "{id}", "withCommunity": false, "includePromotedContent": false, "withVoice": false},
          "features": {
            "creator_subscriptions_tweet_preview_api_enabled": true, "tweetypie_unmention_optimization_enabled": true,
            "responsive_web_edit_tweet_api_enabled": true, "graphql_is_translatable_rweb_tweet_is_translatable_enabled": true,
            "view_counts_everywhere_api_enabled": true, "longform_notetweets_consumption_enabled": true,
            "responsive_web_twitter_article_tweet_consumption_enabled": false, "tweet_awards_web_tipping_enabled": false,
            "freedom_of_speech_not_reach_fetch_enabled": true, "standardized_nudges_misinfo": true,
            "tweet_with_visibility_results_prefer_gql_limited_actions_policy_enabled": true,
            "longform_notetweets_rich_text_read_enabled": true, "longform_notetweets_inline_media_enabled": true,
            "responsive_web_graphql_exclude_directive_enabled": true, "verified_phone_label_enabled": false,
            "responsive_web_media_download_video_enabled": false,
            "responsive_web_graphql_skip_user_profile_image_extensions_enabled": false,
            "responsive_web_graphql_timeline_navigation_enabled": true, "responsive_web_enhance_cards_enabled": false},
          "fieldToggles": {"withArticleRichContentState": false}},
        "headers": {"authorization": "Bearer AAAAAAAAAAAAAAAAAAAAANRILgAAAAAAnNwIzUejRCOuH5E6I8xnZz4puTs%3D1Zv7ttfk8LF81IUq16cHjhLTvJu4FA33AGWWjCpTnA",
                    "x-guest-token": "{guest}"}}],
     "read": {
       "root": ["data/tweetResult/result/tweet", "data/tweetResult/result"],
       "missing": "VIDEO_UNAVAILABLE",
       "errors": [
         {"at": "data/tweetResult/result/reason", "has": ["nsfw", "protected"], "code": "AUTH_REQUIRED",
          "message": "the post is protected or age-restricted: log in with jobrt auth bootstrap x"},
         {"at": "data/tweetResult/result/reason", "code": "VIDEO_UNAVAILABLE", "message": "the post or its account is gone"},
         {"at": ["data/tweetResult/result/tombstone/text/text"], "has": ["age-restricted", "adult content", "sensitive", "limits who can view", "protected"],
          "code": "AUTH_REQUIRED", "message": "the post is protected or age-restricted: log in with jobrt auth bootstrap x"},
         {"at": ["data/tweetResult/result/tombstone/text/text"], "code": "VIDEO_UNAVAILABLE"},
         {"at": "data/tweetResult/result/__typename", "is": "TweetUnavailable", "code": "VIDEO_UNAVAILABLE", "message": "the post is gone"},
         {"at": "errors/0/message", "has": ["rate limit"], "code": "RATE_LIMITED"},
         {"at": "errors/0/message", "has": ["authenticate", "guest token", "bad request", "not found", "features"], "code": "UNSUPPORTED_SOURCE"}],
       "id": "rest_id",
       "title": ["note_tweet/note_tweet_results/result/text", "legacy/full_text"],
       "author": ["core/user_results/result/legacy/screen_name", "core/user_results/result/core/screen_name"],
       "published": "legacy/created_at",
       "items": "legacy/extended_entities/media/*",
       "video": "video_info",
       "itemThumbnail": "media_url_https",
       "itemDurationMs": "video_info/duration_millis",
       "sources": [{"each": "video_info/variants/*", "url": "url", "type": "content_type", "bitrate": "bitrate"}],
       "headers": {"Referer": "https://x.com/"}}},
    {"name": "syndication",
     "steps": [{"get": "https://cdn.syndication.twimg.com/tweet-result?id={id}&token={syndication}&lang=en",
                "statuses": {"404": "VIDEO_UNAVAILABLE"}}],
     "read": {
       "errors": [
         {"at": "tombstone/text/text", "has": ["age-restricted", "adult content", "sensitive", "limits who can view", "protected"],
          "code": "AUTH_REQUIRED", "message": "the post is protected or age-restricted: log in with jobrt auth bootstrap x"},
         {"at": "tombstone/text/text", "code": "VIDEO_UNAVAILABLE"},
         {"at": "__typename", "is": "TweetTombstone", "code": "VIDEO_UNAVAILABLE", "message": "the post is gone"}],
       "root": ["tweet", ""],
       "id": "id_str", "title": "text", "author": "user/screen_name", "published": "created_at",
       "items": "mediaDetails/*", "video": "video_info",
       "itemThumbnail": "media_url_https", "itemDurationMs": "video_info/duration_millis",
       "sources": [{"each": "video_info/variants/*", "url": "url", "type": "content_type", "bitrate": "bitrate"}],
       "headers": {"Referer": "https://x.com/"}}}]
})json";

constexpr std::string_view tiktok_rule = R"json({
  "platforms": ["tiktok"],
  "ways": [
    {"name": "rehydration",
     "steps": [{"get": "{url}"}],
     "script": ["__UNIVERSAL_DATA_FOR_REHYDRATION__", "SIGI_STATE"],
     "cookies": true,
     "read": {
       "errors": [
         {"at": ["__DEFAULT_SCOPE__/webapp.video-detail/statusMsg", "VideoPage/statusMsg"], "has": ["private", "friends only", "login", "age-restricted"], "code": "AUTH_REQUIRED",
          "message": "the video is private or age-restricted: log in with jobrt auth bootstrap tiktok"},
         {"at": ["__DEFAULT_SCOPE__/webapp.video-detail/statusCode", "VideoPage/statusCode"], "is": "10216", "code": "AUTH_REQUIRED",
          "message": "the video is private: log in with jobrt auth bootstrap tiktok"},
         {"at": ["__DEFAULT_SCOPE__/webapp.video-detail/statusCode", "VideoPage/statusCode"], "is": "10222", "code": "AUTH_REQUIRED",
          "message": "the account is private: log in with jobrt auth bootstrap tiktok"},
         {"at": ["__DEFAULT_SCOPE__/webapp.video-detail/statusCode", "VideoPage/statusCode"], "is": "10204", "code": "VIDEO_UNAVAILABLE", "message": "the video is gone"},
         {"at": ["__DEFAULT_SCOPE__/webapp.video-detail/itemInfo/itemStruct/isContentClassified", "ItemModule/*/isContentClassified"], "is": "true", "code": "AUTH_REQUIRED",
          "message": "the video is age-restricted: log in with jobrt auth bootstrap tiktok"},
         {"at": ["__DEFAULT_SCOPE__/webapp.video-detail/itemInfo/itemStruct/imagePost", "ItemModule/*/imagePost"], "code": "NO_MEDIA", "message": "the post has pictures and no video"}],
       "root": ["__DEFAULT_SCOPE__/webapp.video-detail/itemInfo/itemStruct", "ItemModule/*"],
       "id": "id", "title": "desc", "author": ["author/uniqueId", "author/nickname", "author"],
       "published": "createTime",
       "items": "video", "itemThumbnail": ["cover", "originCover"], "duration": "video/duration",
       "sources": [
         {"each": "bitrateInfo/*", "url": "PlayAddr/UrlList/*", "bitrate": "Bitrate", "width": "PlayAddr/Width",
          "height": "PlayAddr/Height", "size": "PlayAddr/DataSize"},
         {"each": "", "url": "playAddr", "bitrate": "bitrate", "width": "width", "height": "height"}],
       "headers": {"Referer": "https://www.tiktok.com/"}}}]
})json";

constexpr std::string_view web_rule = R"json({"ways": [{"name": "html", "steps": [{"get": "{url}"}]}]})json";

}  // namespace

const boost::json::object& default_page_rules() {
    static const boost::json::object rules{{"x", boost::json::parse(x_rule)},
                                           {"tiktok", boost::json::parse(tiktok_rule)},
                                           {"web", boost::json::parse(web_rule)}};
    return rules;
}

}  // namespace jobruntime::extract
