// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/probe.hpp"

namespace jobruntime::extract {

// Everything goes through the prototypes: a page that names an image "querySelectorAll" hides the
// method of that name on its document, in isolated worlds too.
std::string_view probe_script() noexcept {
    return R"js((async (options) => {
  const clean = (value, limit) => {
    let text = typeof value === 'string' ? value.slice(0, limit) : '';
    return text.toWellFormed ? text.toWellFormed() : text.replace(/[\ud800-\udfff]/g, '');
  };
  const getter = (proto, name) => Object.getOwnPropertyDescriptor(proto, name).get;
  const shadowOf = getter(Element.prototype, 'shadowRoot');
  const find = (root, selector, limit) => {
    const kind = root instanceof Document ? Document : root instanceof Element ? Element : DocumentFragment;
    return Array.from(kind.prototype.querySelectorAll.call(root, selector)).slice(0, limit);
  };
  const attr = (element, name) => Element.prototype.getAttribute.call(element, name) || '';
  const absolute = (url) => { try { return url ? new URL(url, location.href).href : ''; } catch { return ''; } };

  const roots = [document];
  let visited = 0;
  for (let i = 0; i < roots.length && roots.length < 64; ++i) {
    for (const element of find(roots[i], '*', 20000)) {
      if (++visited > 40000 || roots.length >= 64) break;
      const shadow = shadowOf.call(element);
      if (shadow) roots.push(shadow);
    }
  }
  const everywhere = (selector, limit) => {
    const all = [];
    for (const root of roots) {
      for (const element of find(root, selector, limit)) {
        if (all.length >= limit) return all;
        all.push(element);
      }
    }
    return all;
  };

  const videos = everywhere('video', 24);
  const direct = (video) => /^https?:/i.test(video.currentSrc || video.src || '');
  if (options.play) {
    for (const video of videos) {
      if (direct(video) || !video.paused) continue;
      try { video.muted = true; Promise.resolve(video.play()).catch(() => {}); } catch {}
    }
  }
  const given_up = 3;  // NETWORK_NO_SOURCE
  const waiting = videos.filter((video) => video.readyState < 1 && video.preload !== 'none' && !video.error &&
                                           video.networkState !== given_up);
  if (options.waitMs > 0 && waiting.length) {
    const understood = (video) => new Promise((done) => {
      for (const name of ['loadedmetadata', 'error', 'abort']) video.addEventListener(name, done, {once: true});
    });
    const enough = new Promise((done) => setTimeout(done, options.waitMs));
    await Promise.race([Promise.any(waiting.map(understood)), enough]);
  }

  const heightOf = (source) => {
    const named = attr(source, 'size') || attr(source, 'res') || attr(source, 'data-res') || attr(source, 'label');
    const match = /(\d{3,4})/.exec(named);
    return match ? Number(match[1]) : 0;
  };
  const result = {url: clean(location.href, 8192), title: '', videos: [], metas: [], jsonLd: [], text: ''};
  result.videos = videos.map((video) => ({
    src: clean(video.currentSrc || video.src, 8192),
    poster: clean(video.poster, 8192),
    width: video.videoWidth, height: video.videoHeight,
    duration: Number.isFinite(video.duration) ? video.duration : 0,
    ready: video.readyState,
    encrypted: !!video.mediaKeys,
    controls: video.controls, loop: video.loop, autoplay: video.autoplay,
    muted: video.defaultMuted || (video.muted && direct(video)),  // We have muted others ourselves.
    area: video.offsetWidth * video.offsetHeight,
    sources: find(video, 'source', 16).map((source) => ({
      url: clean(absolute(attr(source, 'src')), 8192), type: clean(attr(source, 'type'), 200), height: heightOf(source),
    })),
  }));
  for (const meta of find(document, 'meta', 400)) {
    const name = (attr(meta, 'property') || attr(meta, 'name') || attr(meta, 'itemprop')).toLowerCase();
    if (!/^(og:|twitter:|video:|article:|author$|date$|description$|duration$|uploaddate$|datepublished$)/.test(name)) continue;
    const content = attr(meta, 'content');
    const isUrl = /^(og:video|og:image|twitter:player:stream|twitter:image)(:url|:secure_url)?$/.test(name);
    result.metas.push([clean(name, 100), clean(isUrl ? absolute(content) : content, isUrl ? 8192 : 1000)]);
    if (result.metas.length >= 64) break;
  }
  let budget = 131072;
  for (const script of find(document, 'script[type="application/ld+json" i]', 32)) {
    const text = getter(Node.prototype, 'textContent').call(script);
    if (text.length > budget) continue;
    budget -= text.length;
    result.jsonLd.push(clean(text, 131072));
  }
  result.scripts = [];
  if (options.main) {
    const all = find(document, 'script[id], script[type="application/json" i]', 400);
    const wanted = all.filter((script) => options.scripts.includes(attr(script, 'id')));
    const others = !options.json ? [] : all.filter((script) => !wanted.includes(script) &&
                                                               attr(script, 'type').toLowerCase() === 'application/json');
    let room = 1500000;
    for (const script of wanted.concat(others)) {
      const text = getter(Node.prototype, 'textContent').call(script);
      if (text.length < 3 || text.length > room) continue;
      room -= text.length;
      result.scripts.push([clean(attr(script, 'id'), 200), clean(text, text.length)]);
    }
    result.title = clean(getter(Document.prototype, 'title').call(document), 500);
    const body = getter(Document.prototype, 'body').call(document);
    result.text = clean(body ? body.innerText : '', 6000);
  }
  const visible = (element) => Element.prototype.getClientRects.call(element).length > 0 &&
                               getComputedStyle(element).visibility === 'visible';
  result.passwordField = everywhere('input[type="password" i]', 8).some(visible);
  // A captcha beside fields guards what people send, not the page.
  const fields = ['text', 'email', 'password', 'search', 'tel', 'url'].map((type) => 'input[type="' + type + '" i]');
  fields.push('textarea', 'input:not([type])');
  const guardsForm = (element) => {
    const form = Element.prototype.closest.call(element, 'form');
    return form !== null && find(form, fields.join(), 50).some(visible);
  };
  result.challengeWidget = everywhere('#challenge-form, #challenge-running, #cf-challenge-running, #captcha, #px-captcha, ' +
    'script[src*="/cdn-cgi/challenge-platform/h/"]:not([src*="/scripts/jsd/"]), form[action*="captcha" i]', 4).length > 0 ||
    everywhere('.cf-turnstile, .h-captcha, .g-recaptcha:not([data-size="invisible"]), iframe[src*="challenges.cloudflare.com"], ' +
      'iframe[src*="hcaptcha.com"], iframe[src*="/recaptcha/"][src*="bframe"]', 16)
      .some((element) => visible(element) && !guardsForm(element));
  // What is too long for an answer must not take the rest of it along.
  if (JSON.stringify(result.scripts).length > 2000000) result.scripts = [];
  return JSON.stringify(result);
}))js";
}

}  // namespace jobruntime::extract
