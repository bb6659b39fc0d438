// What a person does with a browser, without one: follows an authorization request, fills in each
// form, and stops where the provider sends the browser back to the client.

// Returns the URL at the client, with the code.
export async function login(authorization, client, user) {
  const cookies = new Map();
  let url = String(authorization);
  let form;
  // A login, a consent, and a redirect or two around each.
  for (let steps = 0; steps < 12; steps += 1) {
    const response = await fetch(url, {
      method: form ? 'POST' : 'GET',
      body: form,
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      // An empty value is how a cookie is taken away.
      if (value) cookies.set(name, value);
      else cookies.delete(name);
    }
    form = undefined;
    const page = await response.text();
    if (response.status === 302 || response.status === 303) {
      url = new URL(response.headers.get('location'), url).href;
      if (url.startsWith(client)) return new URL(url);
      continue;
    }
    const prompt = /name="prompt" value="(login|consent)"/.exec(page)?.[1];
    if (response.status !== 200 || !prompt) throw new Error(`${response.status} ${url}: ${page}`);
    form = new URLSearchParams({ prompt, login: user, password: 'any' });
    url = new URL(/<form[^>]*action="([^"]+)"/.exec(page)[1], url).href;
  }
  throw new Error(`the login leads nowhere, at last to ${url}`);
}
