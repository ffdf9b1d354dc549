//! Chunks: read as a decoder reads them that was written for clarity alone, never past their end, never whole when cut; and
//! written so that they are read as what was meant.

use std::io::Write;

use super::*;

/// All that must hold of bytes that are to be a chunked body.
pub(crate) fn chunks(input: &[u8]) {
    let ours = body_of(input, Framing::Chunked);
    let shown = || input.escape_ascii();
    match plainly(input) {
        Ok((data, used)) => {
            assert_eq!(ours.end, End::Whole, "{}", shown());
            assert!(
                ours.data == data && ours.behind == input[used..],
                "{}",
                shown()
            );
            for cut in cuts(&input[..used]).filter(|cut| *cut < used) {
                let part = dripped_body_of(&input[..cut], Framing::Chunked);
                assert_eq!(part.end, End::Short, "{cut} {}", shown());
                assert!(data.starts_with(&part.data), "{cut} {}", shown());
            }
        }
        Err((data, end)) => {
            assert_eq!((&ours.data, ours.end), (&data, end), "{}", shown());
        }
    }
    trailers_frame_nothing(&ours.trailers);

    // What was decoded, and the input itself, survive both framings.
    for data in [&*ours.data, input] {
        let written = chunks_come_back(data, &ours.trailers);
        // The last chunk cut anywhere, and the data somewhere.
        let end = written.len();
        let somewhere = Dice::of(data).below(end);
        for cut in [somewhere, end - 1, end - 2, end - 3, end - 4] {
            let part = dripped_body_of(&written[..cut], Framing::Chunked);
            assert_eq!(part.end, End::Short);
        }
        let by_length = body_of(
            &[data, b"next"].concat(),
            Framing::Length(data.len() as u64),
        );
        assert_eq!((&*by_length.data, &*by_length.behind), (data, &b"next"[..]));
        assert_eq!(body_of(data, Framing::UntilClose).data, data);
        let more = Framing::Length(data.len() as u64 + 1);
        assert_eq!(body_of(data, more).end, End::Short);
        assert_eq!(body_of(&cut_chunks(data), Framing::Chunked).end, End::Short);
    }
}

/// The chunks that our writer makes of `data`, which are read as that.
pub(in crate::http) fn chunks_come_back(data: &[u8], trailers: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    let mut writer = ChunkWriter::new(&mut written);
    write_in_pieces(&mut writer, data);
    assert!(writer.finish(trailers).is_ok());
    let end = written.len();
    written.extend_from_slice(b"GET /");
    let outcome = body_of(&written, Framing::Chunked);
    assert!(outcome.end == End::Whole && outcome.data == data && outcome.behind == b"GET /");
    assert_eq!(outcome.trailers, trailers);
    written.truncate(end);
    written
}

/// The same without its end.
pub(super) fn cut_chunks(data: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    write_in_pieces(&mut ChunkWriter::new(&mut written), data);
    written
}

fn write_in_pieces(writer: &mut ChunkWriter<&mut Vec<u8>>, data: &[u8]) {
    let mut dice = Dice::of(data);
    let mut rest = data;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(1 + dice.below(9_000)));
        assert_eq!(writer.write(chunk).ok(), Some(chunk.len()));
        assert_eq!(writer.write(b"").ok(), Some(0));
        rest = after;
    }
}

fn trailers_frame_nothing(trailers: &[u8]) {
    for line in trailers.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        assert!(text.ends_with("\r\n") && text.contains(": "), "{text:?}");
        let name = text.split(':').next().unwrap_or_default().to_lowercase();
        let framing = [
            "content-length",
            "transfer-encoding",
            "host",
            "authorization",
            "trailer",
        ];
        assert!(!framing.contains(&&*name.replace('_', "-")), "{text:?}");
    }
}

/// A decoder of RFC 9112, 7.1, with our limits: the data, and where the body ends; or the data before the fault.
fn plainly(input: &[u8]) -> Result<(Vec<u8>, usize), (Vec<u8>, End)> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let (size, length) = match line(&input[at..]) {
            Ok(line) => line,
            Err(end) => return Err((data, end)),
        };
        at += length;
        if size == 0 {
            return match section(&input[at..]) {
                Ok(length) => Ok((data, at + length)),
                Err(end) => Err((data, end)),
            };
        }
        let rest = &input[at..];
        let here = usize::try_from(size).map_or(rest.len(), |size| size.min(rest.len()));
        data.extend_from_slice(&rest[..here]);
        at += here;
        match &rest[here..] {
            [b'\r', b'\n', ..] if here as u64 == size => at += 2,
            [] | [b'\r'] => return Err((data, End::Short)),
            _ => return Err((data, End::Bad)),
        }
    }
}

/// The size and the length of a chunk line.
fn line(input: &[u8]) -> Result<(u64, usize), End> {
    let stop = input
        .iter()
        .position(|byte| *byte < b' ' && *byte != b'\t' || *byte == 0x7F)
        .unwrap_or(input.len());
    let (text, end) = input.split_at(stop);
    let digits = text
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(stop);
    if digits > 16 || text.get(digits).is_some_and(|byte| *byte != b';') || stop + 2 > 1024 {
        return Err(End::Bad);
    }
    match end {
        _ if input.is_empty() => Err(End::Short),
        _ if digits == 0 => Err(End::Bad),
        [] | [b'\r'] => Err(End::Short),
        [b'\r', b'\n', ..] => std::str::from_utf8(&text[..digits])
            .ok()
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(|size| (size, stop + 2))
            .ok_or(End::Bad),
        _ => Err(End::Bad),
    }
}

/// The length of a trailer section with its empty line.
fn section(input: &[u8]) -> Result<usize, End> {
    const LIMIT: usize = 8 * 1024;
    let mut at = 0;
    let mut fields = Vec::new();
    loop {
        let rest = &input[at..input.len().min(LIMIT)];
        let stop = rest.iter().position(|byte| b"\r\n\0".contains(byte));
        if let [b' ' | b'\t', ..] = rest {
            return Err(End::Bad);
        }
        let Some(stop) = stop else { break };
        match &rest[stop..] {
            [b'\r', b'\n', ..] => {}
            [b'\r'] => break,
            _ => return Err(End::Bad),
        }
        at += stop + 2;
        if stop == 0 {
            return fields
                .into_iter()
                .all(is_field)
                .then_some(at)
                .ok_or(End::Bad);
        }
        fields.push(&rest[..stop]);
        if fields.len() > 100 {
            return Err(End::Bad);
        }
    }
    Err(if input.len() < LIMIT {
        End::Short
    } else {
        End::Bad
    })
}

fn is_field(line: &[u8]) -> bool {
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
    let (name, value) = line.split_at(colon);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_value = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7F;
    !name.is_empty() && name.iter().all(is_token) && value.iter().all(is_value)
}
