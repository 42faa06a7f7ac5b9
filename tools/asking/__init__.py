"""How tools are asked, in annotation and in decoding alike: time limits, retries, rate limits, known answers."""
